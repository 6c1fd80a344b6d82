"""The data state that a run started here and now has, wherever it is to be read."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

from mlflow_dvc_plugin import settings as settings_of
from mlflow_dvc_plugin.capturing import capture, find_project
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.state.manifest import MAX_ENTRIES


class Current(NamedTuple):
    """A state, with what it comes from.

    Attributes:
        state: the state.
        settings: the settings that hold for it.
        file: the exported file that has it; empty for a project's own.
    """

    state: DataState
    settings: Settings
    file: str = ""


def current(judge: bool = True, even_disabled: bool = False) -> Current | None:
    """The state of the exported file that the settings name, else of the project here.

    Args:
        judge: find out whether the workspace holds what the metafiles say.
        even_disabled: also where the settings disable capture.

    Returns:
        None outside a project, or if the settings disable capture.

    Raises:
        MlflowDvcError: the state cannot be read.
    """
    chosen = settings_of.from_environment()
    if chosen.disable and not even_disabled:
        return None
    chosen, project = _here(chosen)
    if chosen.disable and not even_disabled:
        return None
    if chosen.state:
        return _exported(chosen)
    if project is None:
        return None
    asked = replace(chosen, disable=False)
    state = capture(project, settings=asked if judge else replace(asked, status_budget_ms=0))
    assert state is not None
    if len(state.entries) > MAX_ENTRIES:
        from mlflow_dvc_plugin.capturing.commit import with_committed

        state = with_committed(state)
    return Current(state, chosen)


def exported() -> Current | None:
    """The state of the exported file that the settings name; None if they name none.

    Raises:
        MlflowDvcError: the file cannot be used.
    """
    chosen, _ = _here(settings_of.from_environment())
    return _exported(chosen) if chosen.state else None


def _here(chosen: Settings) -> tuple[Settings, str | None]:
    """All settings that hold here, and the project; an exported state needs none."""
    project = None if chosen.state else find_project(settings=chosen)
    if project is None:
        return chosen, None
    chosen = settings_of.for_project(project)
    if chosen.state:
        chosen = replace(chosen, state=os.path.join(project, chosen.state))
    return chosen, project


def _exported(chosen: Settings) -> Current:
    from mlflow_dvc_plugin.state.state_file import read

    file = str(chosen.state)
    return Current(read(file), chosen, file)
