"""Data in the workspace with the hash that DVC recorded, and the proof that it has it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from typing import NamedTuple

from mlflow_dvc_plugin.capturing import capture, find_project
from mlflow_dvc_plugin.capturing.run_start import Current, exported
from mlflow_dvc_plugin.capturing.workspace.folders import walk_folder
from mlflow_dvc_plugin.capturing.workspace.hashing import file_hash
from mlflow_dvc_plugin.errors import DatasetError
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, bytes_obj

_LONG = 10**9  # milliseconds: the proof may take its time
_TABLE = re.compile(r"\.(csv|tsv|csv\.gz|parquet)\Z", re.IGNORECASE)
_WILD = re.compile(r"([\\*?\[\]! #])")


class Tracked(NamedTuple):
    """Data whose content was proven to have its recorded hash.

    Attributes:
        entry: its path, hash and, if known, size; for a file in an out with
            the rest of the out's.
        state: what it is part of.
        table: the bytes of a table, as they were hashed; None for all else.
    """

    entry: Entry
    state: DataState
    table: bytes | None


def read(path: str) -> Tracked:
    """Find what DVC recorded of data, read the data, and compare.

    Args:
        path: an out, or a file in one, as one would open it; else relative to
            the project at the working directory. Where the settings name an
            exported state, it says what DVC recorded, and the path has to end
            as it does in the project.

    Raises:
        DatasetError: DVC does not track it, or its content differs.
        CaptureError: the project's metafiles cannot be read.
        StateFileError: the exported state cannot be used.
    """
    found = exported()
    place = _in_exported(path, found) if found else _in_project(path)
    inside, entry = place.path, _entry(place)
    full = os.path.join(place.root, inside)
    if not os.path.exists(full):
        raise DatasetError(f"{inside} is not in the workspace: {place.remedies.absent}.")
    if entry.isdir:
        proven = _hashes_to(place.root, entry) if found else _is_clean(place.root, entry)
        if not proven:
            raise _changed(place, entry.path)
        if inside == entry.path:
            return Tracked(entry, place.state, None)
    value, table = _hash(full, inside, entry.hash_name)
    if not entry.isdir and value != entry.hash:
        raise _changed(place, inside)
    if inside != entry.path:
        entry = entry._replace(path=inside, hash=value, size=None, nfiles=None, isdir=False)
    return Tracked(entry, place.state, table)


class _Remedies(NamedTuple):
    """What to do about data that is absent, untracked or changed."""

    absent: str
    untracked: str
    changed: str


_THERE = _Remedies(
    "bring it with `dvc pull` or `mlflow-dvc restore`",
    "run `dvc add {}` first",
    "run `dvc add {0}` (or `dvc commit`) to record it as it is, or `dvc checkout` to have it as "
    "it was",
)
_EXPORTED = _Remedies(
    "bring the data that was exported",
    "run `mlflow-dvc export` again after `dvc add {}` in the project",
    "bring the data that was exported, or run `mlflow-dvc export` again in the project",
)


class _Place(NamedTuple):
    """Where data is.

    Attributes:
        root: absolute path of what stands for the project's folder.
        path: the data's, relative to it.
        state: what DVC recorded there.
        remedies: what helps there.
    """

    root: str
    path: str
    state: DataState
    remedies: _Remedies


def _in_project(path: str) -> _Place:
    full = _full(path)
    project = find_project(os.path.dirname(full))
    if project is None:
        raise DatasetError(f"{path} is in no DVC project: run `dvc init`, then `dvc add` it.")
    inside = os.path.relpath(full, project).replace(os.sep, "/")
    if inside.startswith("../"):
        raise DatasetError(f"{path} is outside the DVC project {project}.")
    state = capture(project, settings=Settings(status_budget_ms=0))
    assert state is not None
    return _Place(project, inside, state, _THERE)


def _in_exported(path: str, found: Current) -> _Place:
    """The longest end of the path that the state knows: the data may be mounted anywhere."""
    full = _full(path).replace(os.sep, "/")
    ends = [full[at + 1 :] for at, char in enumerate(full) if char == "/"]
    inside = next((end for end in ends if _owner(found.state, end) is not None), None)
    if inside is None:
        return _Place("", path, found.state, _EXPORTED)
    return _Place(full[: -len(inside)], inside, found.state, _EXPORTED)


def _full(path: str) -> str:
    """The absolute path of what is here, or else in the project here."""
    full = os.path.abspath(path)
    if not os.path.lexists(full) and not os.path.isabs(path):
        project = find_project()
        if project is not None:
            return os.path.normpath(os.path.join(project, path))
    return full


def _owner(state: DataState, path: str) -> Entry | None:
    owners = (e for e in state.entries if path == e.path or path.startswith(e.path + "/"))
    return next((e for e in owners if e.hash), None)


def _entry(place: _Place) -> Entry:
    entry, stage = _owner(place.state, place.path), place.state.stage
    if entry is not None:
        return entry
    if stage is not None:
        raise DatasetError(
            f"DVC has no hash for {place.path} while stage {stage!r} runs: it is made in this "
            "run, or not tracked."
        )
    remedy = place.remedies.untracked.format(place.path)
    raise DatasetError(f"DVC does not track {place.path}: {remedy}.")


def _is_clean(project: str, entry: Entry) -> bool:
    """Whether a folder is as recorded, with all that DVC knows of it to help."""
    pattern = "/" + _WILD.sub(r"\\\1", entry.path)
    chosen = Settings(include=(pattern,), status_budget_ms=_LONG)
    state = capture(project, settings=chosen)
    return state is not None and state.status == "clean"


def _hashes_to(root: str, entry: Entry) -> bool:
    """Whether a folder is as recorded, by the hash of each of its files."""
    rows = []
    try:
        for name, info in sorted(walk_folder(root, entry.path, os.path.join(root, entry.path))):
            if info is None:
                return False
            full = os.path.join(root, entry.path, name)
            rows.append({"md5": file_hash(full, info, entry.hash_name, math.inf), "relpath": name})
    except OSError:
        return False
    listing = json.dumps(rows, sort_keys=True).encode()
    return f"{bytes_obj(listing).value}{DIR_SUFFIX}" == entry.hash


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


def _changed(place: _Place, path: str) -> DatasetError:
    remedy = place.remedies.changed.format(path)
    return DatasetError(f"{path} is not what DVC recorded, so its hash would lie: {remedy}.")
