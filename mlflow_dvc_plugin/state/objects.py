"""What caches and remotes hold: objects, named by the hash of their bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

DIR_SUFFIX = ".dir"


class Obj(NamedTuple):
    """An object of a cache or remote.

    Attributes:
        hash_name: DVC's name of the hash, which also names the cache it is in.
        value: the hash, with ``.dir`` for a folder's listing.
    """

    hash_name: str
    value: str


def bytes_obj(data: bytes) -> Obj:
    """The object that bytes are stored as."""
    return Obj("md5", hashlib.md5(data, usedforsecurity=False).hexdigest())


def build_listing(hashes: Mapping[str, str]) -> tuple[Obj, bytes]:
    """A folder's listing, as DVC writes it.

    Args:
        hashes: the MD5 of each file, by path relative to the folder.
    """
    rows = [{"md5": hashes[path], "relpath": path} for path in sorted(hashes)]
    data = json.dumps(rows, sort_keys=True).encode()
    return Obj("md5", bytes_obj(data).value + DIR_SUFFIX), data
