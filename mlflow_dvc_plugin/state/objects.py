"""Objects: what caches and remotes store, named by the hash of its bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from mlflow_dvc_plugin.named_tuple import NamedTuple

DIR_SUFFIX = ".dir"

# The hashes of a folder's files, by path relative to the folder.
Members = Mapping[str, str]


class Obj(NamedTuple):
    """An object of a cache or remote; a listing's hash ends in ``.dir``."""

    hash_name: str
    value: str

    @classmethod
    def from_bytes(cls, data: bytes) -> Obj:
        """The object that stores some bytes."""
        return cls("md5", hashlib.md5(data, usedforsecurity=False).hexdigest())


def build_listing(hashes: Mapping[str, str]) -> tuple[Obj, bytes]:
    """A folder's listing, as DVC writes it, from the MD5 of each file by relative path."""
    rows = [{"md5": hashes[path], "relpath": path} for path in sorted(hashes)]
    data = json.dumps(rows, sort_keys=True).encode()
    return Obj("md5", Obj.from_bytes(data).value + DIR_SUFFIX), data


def parse_listing(data: bytes) -> Members | None:
    """The files that a listing names; None if the bytes are no listing."""
    try:
        found = {item["relpath"]: item["md5"] for item in json.loads(data)}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_valid = all(isinstance(k, str) and isinstance(v, str) for k, v in found.items())
    return found if is_valid else None
