"""The data state that a run started here and now has, wherever it is to be read."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

from mlflow_dvc_plugin import settings as settings_of
from mlflow_dvc_plugin.capture import capture, find_project
from mlflow_dvc_plugin.manifest import MAX_ENTRIES
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState


class Current(NamedTuple):
    """A state, with the settings that hold for it."""

    state: DataState
    settings: Settings


def current(judge: bool = True) -> Current | None:
    """The state of the exported file that the settings name, else of the project here.

    Args:
        judge: find out whether the workspace holds what the metafiles say.

    Returns:
        None outside a project, or if the settings disable capture.

    Raises:
        MlflowDvcError: the state cannot be read.
    """
    chosen = settings_of.from_environment()
    if chosen.disable:
        return None
    if chosen.state:
        return _exported(chosen.state, chosen)
    project = find_project(settings=chosen)
    if project is None:
        return None
    chosen = settings_of.for_project(project)
    if chosen.state:
        return _exported(os.path.join(project, chosen.state), chosen)
    state = capture(project, settings=chosen if judge else replace(chosen, status_budget_ms=0))
    if state is None:
        return None
    if len(state.entries) > MAX_ENTRIES:
        from mlflow_dvc_plugin.git import with_committed

        state = with_committed(state)
    return Current(state, chosen)


def _exported(path: str, chosen: Settings) -> Current:
    from mlflow_dvc_plugin.statefile import read

    return Current(read(path), chosen)
