"""Data in the workspace with the hash that DVC recorded, and the proof that it has it."""

from __future__ import annotations

import hashlib
import math
import os
import re
from typing import NamedTuple

from mlflow_dvc_plugin.capture import capture, find_project
from mlflow_dvc_plugin.capture.hashing import file_hash
from mlflow_dvc_plugin.errors import DatasetError
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry

_LONG = 10**9  # milliseconds: the proof may take its time
_TABLE = re.compile(r"\.(csv|tsv|csv\.gz|parquet)\Z", re.IGNORECASE)
_WILD = re.compile(r"([\\*?\[\]! #])")


class Tracked(NamedTuple):
    """Data whose content was proven to have its recorded hash.

    Attributes:
        path: relative to the project.
        hash_name: DVC's name of the hash.
        hash: its value, with ``.dir`` for a folder.
        size: bytes, if known.
        nfiles: number of files in a folder, if known.
        remote: name of the out's own remote.
        table: the bytes of a table, as they were hashed; None for all else.
    """

    path: str
    hash_name: str
    hash: str
    size: int | None
    nfiles: int | None
    remote: str | None
    table: bytes | None


def read(path: str) -> Tracked:
    """Find what DVC recorded of data, read the data, and compare.

    Args:
        path: an out, or a file in one, as one would open it; else relative to
            the project at the working directory.

    Raises:
        DatasetError: DVC does not track it, or its content differs.
        CaptureError: the project's metafiles cannot be read.
    """
    project, inside = _locate(path)
    state = capture(project, settings=Settings(status_budget_ms=0))
    assert state is not None
    entry = _entry(state, inside)
    full = os.path.join(project, inside)
    if not os.path.exists(full):
        raise DatasetError(
            f"{inside} is not in the workspace: bring it with `dvc pull` or `mlflow-dvc restore`."
        )
    if entry.isdir:
        _prove_folder(project, entry)
        if inside == entry.path:
            return _tracked(entry, inside, str(entry.hash), None)
    value, table = _hash(full, inside, entry.hash_name)
    if not entry.isdir and value != entry.hash:
        raise _changed(inside)
    return _tracked(entry, inside, value, table)


def _locate(path: str) -> tuple[str, str]:
    full = os.path.abspath(path)
    project = find_project(os.path.dirname(full))
    if not os.path.lexists(full) and not os.path.isabs(path):
        project = find_project() or project
        full = os.path.normpath(os.path.join(project or "", path))
    if project is None:
        raise DatasetError(f"{path} is in no DVC project: run `dvc init`, then `dvc add` it.")
    inside = os.path.relpath(full, project).replace(os.sep, "/")
    if inside.startswith("../"):
        raise DatasetError(f"{path} is outside the DVC project {project}.")
    return project, inside


def _entry(state: DataState, path: str) -> Entry:
    for entry in state.entries:
        if entry.hash and (path == entry.path or path.startswith(entry.path + "/")):
            return entry
    if state.stage is not None:
        raise DatasetError(
            f"DVC has no hash for {path} while stage {state.stage!r} runs: it is made in this "
            "run, or not tracked."
        )
    raise DatasetError(f"DVC does not track {path}: run `dvc add {path}` first.")


def _prove_folder(project: str, entry: Entry) -> None:
    pattern = "/" + _WILD.sub(r"\\\1", entry.path)
    chosen = Settings(include=(pattern,), status_budget_ms=_LONG)
    state = capture(project, settings=chosen)
    if state is None or state.status != "clean":
        raise _changed(entry.path)


def _hash(full: str, path: str, hash_name: str) -> tuple[str, bytes | None]:
    try:
        if _TABLE.search(path) and hash_name == "md5":
            with open(full, "rb") as file:
                data = file.read()
            return hashlib.md5(data, usedforsecurity=False).hexdigest(), data
        value = file_hash(full, os.stat(full), hash_name, math.inf)
    except OSError as err:
        raise DatasetError(f"{path} cannot be read: {err.strerror}.") from err
    if value is None:
        raise DatasetError(f"{path} changed while it was read: try again.")
    return value, None


def _tracked(entry: Entry, path: str, value: str, table: bytes | None) -> Tracked:
    whole = path == entry.path
    return Tracked(
        path,
        entry.hash_name,
        value,
        entry.size if whole else None,
        entry.nfiles if whole else None,
        entry.remote,
        table,
    )


def _changed(path: str) -> DatasetError:
    return DatasetError(
        f"{path} is not what DVC recorded, so its hash would lie: run `dvc add {path}` (or "
        "`dvc commit`) to record it as it is, or `dvc checkout` to have it as it was."
    )
