"""Data in the workspace, verified against the hash that DVC has for it."""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
from typing import NamedTuple

from mlflow_dvc_plugin.capturing import capture, find_project
from mlflow_dvc_plugin.capturing.run_start import read_exported_state
from mlflow_dvc_plugin.capturing.workspace.folders import list_folder
from mlflow_dvc_plugin.capturing.workspace.hashing import hash_file
from mlflow_dvc_plugin.capturing.workspace.status import forget_folder_verdicts
from mlflow_dvc_plugin.errors import DatasetError
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import build_listing

_NO_LIMIT_MS = 10**9
_TABLE = re.compile(r"\.(csv|tsv|csv\.gz|jsonl|parquet)\Z", re.IGNORECASE)
_WILDCARD = re.compile(r"([\\*?\[\]! #])")
# What to do about data that is absent, untracked or changed; `{0}` is its path.
_PROJECT_HINTS = {
    "absent": "Run `dvc pull {0}` or `mlflow-dvc restore RUN` to get it.",
    "untracked": "Run `dvc add {0}` first.",
    "changed": "Run `dvc add {0}` (`dvc commit` for a stage's output) to track the new content, or "
    "`dvc checkout {0}` to get the old content back.",
}
_EXPORT_HINTS = {
    "absent": "Provide the data that was exported.",
    "untracked": "Run `dvc add {0}` and `mlflow-dvc export` in the project.",
    "changed": "Provide the data that was exported, or run `mlflow-dvc export` in the project "
    "again.",
}


class _Location(NamedTuple):
    """Where data is: its path in the folder that is the project's, or has the exported data."""

    root: str
    path: str
    state: DataState
    is_exported: bool

    def hint(self, problem: str, path: str) -> str:
        hints = _EXPORT_HINTS if self.is_exported else _PROJECT_HINTS
        return hints[problem].format(path)


def read_verified(path: str) -> tuple[Entry, DataState, bytes | None]:
    """Read data, and verify that it has the hash that DVC has for it.

    Args:
        path: an out, or a file in one: relative to the working directory or to the
            project, or absolute. For an exported state, the data may be in any
            folder, as long as its path ends as it does in the project.

    Returns:
        The data's path, hash and, if known, size, in an entry which for a file in a
        tracked folder is otherwise the folder's; the state that it is part of; and
        the bytes of a table, as they were hashed.

    Raises:
        DatasetError: DVC does not track the data, or the data differs.
        CaptureError: the project's metafiles cannot be read.
        StateFileError: the exported state cannot be used.
    """
    location = _locate(path)
    inside, state, entry = location.path, location.state, _find_entry(location)
    full = os.path.join(location.root, inside)
    if not os.path.exists(full):
        hint = location.hint("absent", inside)
        raise DatasetError(f"{inside} is not in the workspace. {hint}")
    if entry.isdir and not _is_unchanged(location, entry):
        raise _changed(location, entry.path)
    if entry.isdir and inside == entry.path:
        return entry, state, None
    value, table = _hash_file(full, inside, entry.hash_name)
    if not entry.isdir and value != entry.hash:
        raise _changed(location, inside)
    return _narrow(entry, inside, value), state, table


def find_proven(path: str, budget_ms: int) -> tuple[Entry, DataState]:
    """What :func:`read_verified` finds, but the data is read for at most `budget_ms`.

    Raises:
        MlflowDvcError: DVC does not track the data, or it is not proven to be what DVC recorded.
    """
    deadline = time.monotonic() + budget_ms / 1000
    location = _locate(path)
    inside, entry = location.path, _find_entry(location)
    if not _is_unchanged(location, entry, budget_ms):
        raise _changed(location, entry.path)
    if inside == entry.path:
        return entry, location.state
    value, _ = _hash_file(os.path.join(location.root, inside), inside, entry.hash_name, deadline)
    return _narrow(entry, inside, value), location.state


def _narrow(entry: Entry, path: str, value: str) -> Entry:
    """The entry of a file at `path` in a tracked folder, or of the out itself."""
    if path == entry.path:
        return entry
    return entry._replace(path=path, hash=value, size=None, nfiles=None, isdir=False)


def _locate(path: str) -> _Location:
    full = os.path.abspath(path)
    if not os.path.lexists(full) and not os.path.isabs(path):
        here = find_project()
        if here is not None:
            full = os.path.normpath(os.path.join(here, path))
    exported = read_exported_state()
    if exported is not None:
        return _locate_exported(path, full.replace(os.sep, "/"), exported)
    project = find_project(os.path.dirname(full))
    if project is None:
        raise DatasetError(f"{path} is not in a DVC project. Run `dvc init` and `dvc add` first.")
    inside = os.path.relpath(full, project).replace(os.sep, "/")
    if inside.startswith("../"):
        raise DatasetError(f"{path} is outside the DVC project {project}.")
    state = capture(project, settings=Settings(status_budget_ms=0))
    assert state is not None
    return _Location(project, inside, state, is_exported=False)


def _locate_exported(path: str, full: str, state: DataState) -> _Location:
    for index, char in enumerate(full):
        # The longest end of the path that is tracked.
        if char == "/" and _find_owner(state, full[index + 1 :]) is not None:
            return _Location(full[: index + 1], full[index + 1 :], state, is_exported=True)
    return _Location("", path, state, is_exported=True)


def _find_owner(state: DataState, path: str) -> Entry | None:
    """The out that is at a path or above it."""
    above = (e for e in state.entries if e.hash and f"{path}/".startswith(f"{e.path}/"))
    return next(above, None)


def _find_entry(location: _Location) -> Entry:
    entry, stage = _find_owner(location.state, location.path), location.state.stage
    if entry is not None:
        return entry
    if stage is not None:
        raise DatasetError(
            f"DVC has no hash for {location.path} while stage {stage!r} runs: either this run of "
            "the stage writes it, or DVC does not track it."
        )
    hint = location.hint("untracked", location.path)
    raise DatasetError(f"DVC does not track {location.path}. {hint}")


def _is_unchanged(location: _Location, entry: Entry, budget_ms: int = _NO_LIMIT_MS) -> bool:
    if location.is_exported:
        deadline = time.monotonic() + budget_ms / 1000
        return _hash_out(location.root, entry, deadline) == entry.hash
    # In a project, DVC's state database and the cache know most hashes: no need to read all files.
    pattern = "/" + _WILDCARD.sub(r"\\\1", entry.path)
    forget_folder_verdicts()
    settings = Settings(include=(pattern,), status_budget_ms=budget_ms)
    state = capture(location.root, settings=settings)
    return state is not None and state.status == "clean" and entry in state.entries


def _hash_out(root: str, entry: Entry, deadline: float) -> str | None:
    """The hash of an out from the content of each file; None if a file cannot be read in time."""
    if not entry.isdir:
        full = os.path.join(root, entry.path)
        return _hash_file(full, entry.path, entry.hash_name, deadline)[0]
    files = list_folder(root, entry.path, deadline)
    if files is None:
        return None
    hashes = {}
    for name, info in files.items():
        full = os.path.join(root, entry.path, name)
        value = hash_file(full, info, entry.hash_name, deadline)
        if value is None:
            return None
        hashes[name] = value
    return build_listing(hashes)[0].value


def _hash_file(
    full: str, path: str, hash_name: str, deadline: float = math.inf
) -> tuple[str, bytes | None]:
    """The hash of a file, and its bytes if it is a table and there is no deadline."""
    try:
        if _TABLE.search(path) and hash_name == "md5" and deadline == math.inf:
            with open(full, "rb") as file:
                data = file.read()
            return hashlib.md5(data, usedforsecurity=False).hexdigest(), data
        value = hash_file(full, os.stat(full), hash_name, deadline)
    except OSError as err:
        raise DatasetError(f"{path} cannot be read: {err.strerror}.") from err
    if value is None:
        raise DatasetError(f"{path} changed while it was read. Try again.")
    return value, None


def _changed(location: _Location, path: str) -> DatasetError:
    hint = location.hint("changed", path)
    return DatasetError(f"{path} differs from the hash that DVC has for it. {hint}")
