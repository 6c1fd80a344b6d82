"""The listings of folders that a cache or a remote has, found by their names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX
from mlflow_dvc_plugin.state.tags import HASH_DIGITS

_FOLDERS_AT_ONCE = 16


def list_listings(odb: Any) -> list[str]:
    """List the hashes of the listings in one part of a cache or remote, as DVC opened it."""
    if not odb.fs.CAN_TRAVERSE:
        raise DvcError("it cannot list what it has")
    is_local = odb.fs.protocol == "local"
    try:
        inside = os.listdir(odb.path) if is_local else odb.fs.ls(odb.path, detail=False)
    except FileNotFoundError:
        return []
    folders = sorted(name for path in inside if _is_part(name := odb.fs.name(path.rstrip("/"))))
    found = []
    # In batches: there may be millions of objects.
    for start in range(0, len(folders), _FOLDERS_AT_ONCE):
        some = folders[start : start + _FOLDERS_AT_ONCE]
        names = _list_local(odb.path, some) if is_local else _list_remote(odb, some)
        found += [name for name in names if name.endswith(DIR_SUFFIX)]
    return found


def _is_part(name: str) -> bool:
    """Is it the name of a folder with objects: the first two digits of their hashes?"""
    return len(name) == 2 and not name.strip(HASH_DIGITS)


def _list_local(top: str, folders: Iterable[str]) -> list[str]:
    # Several times faster than DVC, which finds out what each file is.
    return [part + name for part in folders for name in os.listdir(os.path.join(top, part))]


def _list_remote(odb: Any, folders: Iterable[str]) -> list[str]:
    paths = odb.fs.find([odb.fs.join(odb.path, part) for part in folders])
    return [odb.path_to_oid(path) for path in paths if path.endswith(DIR_SUFFIX)]
