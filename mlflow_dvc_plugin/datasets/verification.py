"""Data in the workspace, verified against the hash that DVC has for it."""

from __future__ import annotations

import hashlib
import math
import os
import re
from typing import NamedTuple

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.workspace.folders import list_folder
from mlflow_dvc_plugin.capturing.workspace.hashing import hash_file
from mlflow_dvc_plugin.capturing.workspace.status import forget_folder_verdicts
from mlflow_dvc_plugin.datasets.location import Location, find_owner, locate
from mlflow_dvc_plugin.errors import DatasetError
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import build_listing

_NO_LIMIT_MS = 10**9
_TABLE = re.compile(r"\.(csv|tsv|csv\.gz|parquet)\Z", re.IGNORECASE)
_WILDCARD = re.compile(r"([\\*?\[\]! #])")


class VerifiedData(NamedTuple):
    """Data whose content has the hash that DVC has for it.

    Attributes:
        entry: its path, hash and, if known, size. For a file in a tracked
            folder, the other fields are those of the folder.
        state: the state that it is part of.
        table: the bytes of a table, as they were hashed; None for other data.
    """

    entry: Entry
    state: DataState
    table: bytes | None


def read_verified(path: str) -> VerifiedData:
    """Read data, and verify that it has the hash that DVC has for it.

    Args:
        path: an out, or a file in one; see :func:`locate`.

    Raises:
        DatasetError: DVC does not track the data, or the data differs.
        CaptureError: the project's metafiles cannot be read.
        StateFileError: the exported state cannot be used.
    """
    location = locate(path)
    inside, entry = location.path, _find_entry(location)
    full = os.path.join(location.root, inside)
    if not os.path.exists(full):
        hint = location.hints.absent.format(inside)
        raise DatasetError(f"{inside} is not in the workspace. {hint}")
    if entry.isdir and not _is_unchanged(location, entry):
        raise _changed(location, entry.path)
    if entry.isdir and inside == entry.path:
        return VerifiedData(entry, location.state, None)
    value, table = _hash_file(full, inside, entry.hash_name)
    if not entry.isdir and value != entry.hash:
        raise _changed(location, inside)
    if inside != entry.path:
        entry = entry._replace(path=inside, hash=value, size=None, nfiles=None, isdir=False)
    return VerifiedData(entry, location.state, table)


def _find_entry(location: Location) -> Entry:
    entry, stage = find_owner(location.state, location.path), location.state.stage
    if entry is not None:
        return entry
    if stage is not None:
        raise DatasetError(
            f"DVC has no hash for {location.path} while stage {stage!r} runs: either this run of "
            "the stage writes it, or DVC does not track it."
        )
    hint = location.hints.untracked.format(location.path)
    raise DatasetError(f"DVC does not track {location.path}. {hint}")


def _is_unchanged(location: Location, folder: Entry) -> bool:
    if location.is_exported:
        return _hash_folder(location.root, folder) == folder.hash
    # In a project, DVC's state database and the cache know most hashes: no need to read all files.
    pattern = "/" + _WILDCARD.sub(r"\\\1", folder.path)
    forget_folder_verdicts()
    settings = Settings(include=(pattern,), status_budget_ms=_NO_LIMIT_MS)
    state = capture(location.root, settings=settings)
    return state is not None and state.status == "clean"


def _hash_folder(root: str, folder: Entry) -> str | None:
    """The hash of a folder from the content of each file; None if a file cannot be read."""
    full = os.path.join(root, folder.path)
    files = list_folder(root, folder.path, math.inf)
    if files is None:
        return None
    hashes = {}
    for name, info in files.items():
        value = hash_file(os.path.join(full, name), info, folder.hash_name, math.inf)
        if value is None:
            return None
        hashes[name] = value
    return build_listing(hashes)[0].value


def _hash_file(full: str, path: str, hash_name: str) -> tuple[str, bytes | None]:
    """The hash of a file, and its bytes if it is a table."""
    try:
        if _TABLE.search(path) and hash_name == "md5":
            with open(full, "rb") as file:
                data = file.read()
            return hashlib.md5(data, usedforsecurity=False).hexdigest(), data
        value = hash_file(full, os.stat(full), hash_name, math.inf)
    except OSError as err:
        raise DatasetError(f"{path} cannot be read: {err.strerror}.") from err
    if value is None:
        raise DatasetError(f"{path} changed while it was read. Try again.")
    return value, None


def _changed(location: Location, path: str) -> DatasetError:
    hint = location.hints.changed.format(path)
    return DatasetError(f"{path} differs from the hash that DVC has for it. {hint}")
