"""Where data is, and what DVC recorded there."""

from __future__ import annotations

import os
from typing import NamedTuple

from mlflow_dvc_plugin.capturing import capture, find_project
from mlflow_dvc_plugin.capturing.run_start import read_exported_state
from mlflow_dvc_plugin.errors import DatasetError
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry


class Hints(NamedTuple):
    """What to do about data that is absent, untracked or changed; ``{0}`` is its path."""

    absent: str
    untracked: str
    changed: str


_IN_PROJECT = Hints(
    "Run `dvc pull {0}` or `mlflow-dvc restore RUN` to get it.",
    "Run `dvc add {0}` first.",
    "Run `dvc add {0}` (`dvc commit` for a stage's output) to track the new content, or "
    "`dvc checkout {0}` to get the old content back.",
)
_EXPORTED = Hints(
    "Provide the data that was exported.",
    "Run `dvc add {0}` and `mlflow-dvc export` in the project.",
    "Provide the data that was exported, or run `mlflow-dvc export` in the project again.",
)


class Location(NamedTuple):
    """Where data is.

    Attributes:
        root: absolute path of the folder that stands for the project's.
        path: the data's path, relative to it.
        state: what DVC recorded.
        hints: what to do about a problem there.
        is_exported: the state is an exported one.
    """

    root: str
    path: str
    state: DataState
    hints: Hints
    is_exported: bool


def locate(path: str) -> Location:
    """Find data in the project, or in the exported state that the settings name.

    Args:
        path: relative to the working directory or to the project, or absolute. For
            an exported state, the data may be in any folder, as long as its path
            ends as it does in the project.

    Raises:
        DatasetError: the path is not in a DVC project.
        CaptureError: the project's metafiles cannot be read.
        StateFileError: the exported state cannot be used.
    """
    full = _find_path(path)
    found = read_exported_state()
    if found is not None:
        return _locate_exported(path, full, found.state)
    project = find_project(os.path.dirname(full))
    if project is None:
        raise DatasetError(f"{path} is not in a DVC project. Run `dvc init` and `dvc add` first.")
    inside = os.path.relpath(full, project).replace(os.sep, "/")
    if inside.startswith("../"):
        raise DatasetError(f"{path} is outside the DVC project {project}.")
    state = capture(project, settings=Settings(status_budget_ms=0))
    assert state is not None
    return Location(project, inside, state, _IN_PROJECT, False)


def find_owner(state: DataState, path: str) -> Entry | None:
    """The out that is at a path or above it."""
    for entry in state.entries:
        if entry.hash and (path == entry.path or path.startswith(entry.path + "/")):
            return entry
    return None


def _locate_exported(path: str, full: str, state: DataState) -> Location:
    full = full.replace(os.sep, "/")
    for index, char in enumerate(full):
        # The longest end of the path that is tracked.
        if char == "/" and find_owner(state, full[index + 1 :]) is not None:
            return Location(full[: index + 1], full[index + 1 :], state, _EXPORTED, True)
    return Location("", path, state, _EXPORTED, True)


def _find_path(path: str) -> str:
    """The absolute path: relative to the working directory, else to the project there."""
    full = os.path.abspath(path)
    if not os.path.lexists(full) and not os.path.isabs(path):
        project = find_project()
        if project is not None:
            return os.path.normpath(os.path.join(project, path))
    return full
