"""Hash the bytes of files as DVC does."""

from __future__ import annotations

import hashlib
from io import BytesIO

from dvc.cachemgr import LEGACY_HASH_NAMES
from dvc_data.hashfile.hash import file_md5, fobj_md5
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

# Of today's objects, and of those of DVC 2.
HASH_NAMES = ("md5", "md5-dos2unix")
_CHUNK = 1024 * 1024


def hash_file(path: str, hash_name: str) -> str:
    """Hash a file's bytes; the hash has no ``.dir``."""
    if hash_name == "md5":
        digest = hashlib.md5(usedforsecurity=False)
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()
    if hash_name in LEGACY_HASH_NAMES:
        return str(file_md5(path, localfs, name=hash_name))
    raise DvcError(f"a hash of kind {hash_name!r} cannot be computed from a file")


def hash_bytes(data: bytes, hash_name: str) -> str:
    """Hash bytes, as those of an object; the hash has no ``.dir``."""
    return str(fobj_md5(BytesIO(data), name=hash_name))


def has_object_bytes(path: str, obj: Obj) -> bool:
    """Does a file have the bytes of an object?"""
    return hash_file(path, obj.hash_name) == to_digest(obj)


def to_digest(obj: Obj) -> str:
    """The hash of an object's bytes; the object's own hash has ``.dir`` if it is a listing."""
    return obj.value.removesuffix(DIR_SUFFIX)


def is_legacy(obj: Obj) -> bool:
    """Does the object belong in the part of caches and remotes that DVC 2 used?"""
    return obj.hash_name in LEGACY_HASH_NAMES
