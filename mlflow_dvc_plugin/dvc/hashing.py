"""The hash of a file's bytes, as DVC computes it."""

from __future__ import annotations

import hashlib

from dvc.cachemgr import LEGACY_HASH_NAMES
from dvc_data.hashfile.hash import file_md5
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

_CHUNK = 1024 * 1024


def hash_file(path: str, hash_name: str) -> str:
    """The hash of a file's bytes, without ``.dir``.

    Raises:
        DvcError: this kind of hash cannot be computed from a file.
        OSError: the file cannot be read.
    """
    if hash_name == "md5":
        digest = hashlib.md5(usedforsecurity=False)
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()
    if hash_name in LEGACY_HASH_NAMES:
        return str(file_md5(path, localfs, name=hash_name))
    raise DvcError(f"a hash of kind {hash_name!r} cannot be computed from a file")


def has_object_bytes(path: str, obj: Obj) -> bool:
    """The file's bytes are the object's."""
    return hash_file(path, obj.hash_name) == to_digest(obj)


def to_digest(obj: Obj) -> str:
    """The hash of the object's bytes; its name says ``.dir`` as well for a listing."""
    return obj.value.removesuffix(DIR_SUFFIX)


def is_legacy(obj: Obj) -> bool:
    """The object belongs in the cache of DVC before 3, and in that part of a remote."""
    return obj.hash_name in LEGACY_HASH_NAMES
