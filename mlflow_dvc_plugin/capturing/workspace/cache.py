"""Objects in the project's cache, and the listings of tracked folders."""

from __future__ import annotations

import json
import os
import stat
from hashlib import md5
from typing import Any

_MAX_LISTING = 1 << 28
_MAX_MEMBERS = 1_000_000
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH

# Listings by hash name and hash: a parameter search starts many runs.
_listings: dict[tuple[str, str], dict[str, str]] = {}


class Cache:
    """A cache folder of DVC 3, which also contains objects of DVC 2."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def object_path(self, hash_name: str, value: str) -> str:
        """Where an object is, if the cache has it."""
        parts = ("files", "md5") if hash_name == "md5" else ()
        return os.path.join(self._folder, *parts, value[:2], value[2:])

    def stat_object(self, hash_name: str, value: str) -> os.stat_result | None:
        """The stat of an object, if the cache has it and it is read-only, as DVC leaves it."""
        try:
            info = os.stat(self.object_path(hash_name, value))
        except (OSError, ValueError):
            return None
        return None if info.st_mode & _WRITABLE else info

    def read_listing(self, hash_name: str, value: str) -> dict[str, str] | None:
        """The hash of each member of a folder; None if the cache does not have its object."""
        key = (hash_name, value)
        if key not in _listings:
            listing = _read_listing(self.object_path(hash_name, value), value)
            if listing is None:
                return None
            if sum(map(len, _listings.values())) > _MAX_MEMBERS:
                _listings.clear()
            _listings[key] = listing
        return _listings[key]


def _read_listing(path: str, value: str) -> dict[str, str] | None:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_LISTING)
        if md5(data, usedforsecurity=False).hexdigest() + ".dir" != value:
            return None
        members: list[dict[str, Any]] = json.loads(data)
        return {str(member["relpath"]): str(member["md5"]) for member in members}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
