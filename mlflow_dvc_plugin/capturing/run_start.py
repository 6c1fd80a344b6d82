"""The data state that a run has if it starts here and now."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.named_tuple import NamedTuple
from mlflow_dvc_plugin.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlflow_dvc_plugin.capturing.program import ProgramLook
    from mlflow_dvc_plugin.state import DataState
    from mlflow_dvc_plugin.state.program import Program


class RunStart(NamedTuple):
    """A data state, and the settings that apply; they name the file if it is an exported one."""

    state: DataState
    settings: Settings


def capture_run_start(
    judge: bool = True, even_disabled: bool = False, save: bool = False, program: bool = False
) -> RunStart | None:
    """Read the exported file that the settings name, or else capture the project here.

    None outside a project, or if the settings disable capture. With `judge`, compare
    the workspace with what the metafiles record. With `save`, save data that differs
    from them, if the settings say so. With `program`, the state has what this process runs.
    """
    settings, project = find_settings(even_disabled)
    if settings.disable and not even_disabled:
        return None
    if settings.state:
        from mlflow_dvc_plugin.state import state_file

        return RunStart(state_file.read(settings.state), settings)
    if project is None:
        return None
    from mlflow_dvc_plugin.state.manifest import MAX_ENTRIES

    judged = settings if judge else settings._replace(status_budget_ms=0)
    look = _begin_look(project, settings) if program and settings.command else None
    try:
        state = _take_snapshot(project, judged, save)
    except BaseException:
        if look is not None:
            look.cancel()
        raise
    if look is not None:
        state = _add_program(state, look)
    if len(state.entries) > MAX_ENTRIES:
        from mlflow_dvc_plugin.capturing.commit_state import add_commit_entries

        state = add_commit_entries(state)
    found = RunStart(state, settings)
    if save and settings.save:
        _saved[state.data_hash] = found
        if len(_saved) > _MAX_SAVED:
            _saved.popitem(last=False)
    return found


def find_saved_run_start(data_hash: str) -> RunStart | None:
    """What this process captured, with saved data, for a run that has just started on it."""
    return _saved.get(data_hash)


_MAX_SAVED = 8
_saved: OrderedDict[str, RunStart] = OrderedDict()


def _take_snapshot(project: str, settings: Settings, save: bool) -> DataState:
    from mlflow_dvc_plugin.capturing.snapshot import take_snapshot

    if save and settings.save:
        try:
            return take_snapshot(project, settings, save_data=True)
        except Exception as err:  # noqa: BLE001 - the run starts as without the setting
            import logging

            logging.getLogger(__name__).warning("MLFLOW_DVC_SAVE saved nothing: %s", err)
    return take_snapshot(project, settings)


def _begin_look(project: str, settings: Settings) -> ProgramLook:
    from mlflow_dvc_plugin.capturing.program import ProgramLook

    return ProgramLook(project, settings)


def _add_program(state: DataState, look: ProgramLook) -> DataState:
    """The state with the program; for an unchanged state and program the very same object."""
    from mlflow_dvc_plugin.capturing.snapshot import list_out_paths

    global _with_program  # noqa: PLW0603 - the runs of a search mostly have the same state
    program = look.finish(lambda: list_out_paths(state.project))
    if _with_program is None or _with_program[0] is not state or _with_program[1] != program:
        _with_program = state, program, state._replace(program=program)
    return _with_program[2]


_with_program: tuple[DataState, Program | None, DataState] | None = None


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
