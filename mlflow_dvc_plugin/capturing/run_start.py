"""The data state that a run has if it starts here and now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlflow_dvc_plugin.state import DataState


class RunStart(NamedTuple):
    """A data state, and the settings that apply; they name the file if it is an exported one."""

    state: DataState
    settings: Settings


def capture_run_start(judge: bool = True, even_disabled: bool = False) -> RunStart | None:
    """Read the exported file that the settings name, or else capture the project here.

    None outside a project, or if the settings disable capture. With `judge`, compare
    the workspace with what the metafiles record.
    """
    settings, project = find_settings(even_disabled)
    if settings.disable and not even_disabled:
        return None
    if settings.state:
        from mlflow_dvc_plugin.state import state_file

        return RunStart(state_file.read(settings.state), settings)
    if project is None:
        return None
    from mlflow_dvc_plugin.capturing.snapshot import take_snapshot
    from mlflow_dvc_plugin.state.manifest import MAX_ENTRIES

    state = take_snapshot(project, settings if judge else settings._replace(status_budget_ms=0))
    if len(state.entries) > MAX_ENTRIES:
        from mlflow_dvc_plugin.capturing.commit_state import add_commit_entries

        state = add_commit_entries(state)
    return RunStart(state, settings)


def read_exported_state() -> DataState | None:
    """Read the exported file that the settings name; None if they name none."""
    from mlflow_dvc_plugin.state import state_file

    settings, _ = find_settings()
    return state_file.read(settings.state) if settings.state else None


def find_settings(even_disabled: bool = True) -> tuple[Settings, str | None]:
    """The settings that apply here, and the project; an exported file needs none."""
    settings = load_settings()
    if settings.disable and not even_disabled:
        return settings, None
    project = None if settings.state else find_project(settings=settings)
    if project is None:
        return settings, None
    settings = load_settings(project)
    if settings.state:
        settings = settings._replace(state=os.path.join(project, settings.state))
    return settings, project
