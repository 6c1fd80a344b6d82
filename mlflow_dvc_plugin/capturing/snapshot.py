"""The data state of a project at one moment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlflow_dvc_plugin.capturing.dvc_config import find_default_remote
from mlflow_dvc_plugin.capturing.files import hash_bytes
from mlflow_dvc_plugin.capturing.formats.outs import Out, Stage
from mlflow_dvc_plugin.capturing.reading import Reading, pause_collector, read_project
from mlflow_dvc_plugin.errors import SettingsError
from mlflow_dvc_plugin.git import read_head
from mlflow_dvc_plugin.settings import PREFIX, Settings
from mlflow_dvc_plugin.state import DataState, Entry, Status
from mlflow_dvc_plugin.state.entry import sort_key

if TYPE_CHECKING:
    from mlflow_dvc_plugin.capturing.saving.workspace import SavedWorkspace
    from mlflow_dvc_plugin.capturing.workspace.expected_outs import ExpectedOuts

_MAX_RESULTS = 8


class _Selection:
    """The outs of a reading that are in the state."""

    def __init__(self, stage: str | None, outs: list[Out], lock_hash: str | None) -> None:
        self.stage = stage  # address of the running stage
        self.outs = outs
        self.lock_hash = lock_hash
        # By everything else that a state contains.
        self.states: dict[tuple[object, ...], DataState] = {}

    @cached_property
    def expected(self) -> ExpectedOuts:
        """The outs that should be in the workspace."""
        from mlflow_dvc_plugin.capturing.workspace.expected_outs import ExpectedOuts

        return ExpectedOuts(self.outs)


def take_snapshot(
    project: str, settings: Settings, save: bool = True, save_data: bool = False
) -> DataState:
    """Capture the data state of a project; an unchanged state is the very same object.

    With `save_data`, save data that differs from its metafiles if the settings say so.
    """
    reading = read_project(project, save)
    selection = _select_outs(project, reading, settings)
    entries: tuple[Entry, ...] | None = None
    if save_data and settings.save:
        saved = _save_data(project, reading, selection, settings)
        status, modified = saved.status, saved.modified
        if saved.entries != tuple([out.entry for out in selection.outs]):
            entries = saved.entries
    else:
        status, modified = _judge_status(project, reading, selection, settings.status_budget_ms)
    git = reading.watch.git
    commit = read_head(git[1]) if git else None
    exp_name = os.environ.get("DVC_EXP_NAME") or None
    exp_baseline = os.environ.get("DVC_EXP_BASELINE_REV") or None
    key = (status, modified, commit, exp_name, exp_baseline, entries)
    state = selection.states.get(key)
    if state is None:
        state = DataState(
            root=os.path.relpath(project, git[0]).replace(os.sep, "/") if git else ".",
            entries=tuple([out.entry for out in selection.outs]) if entries is None else entries,
            lock_hash=selection.lock_hash,
            git_commit=commit,
            status=status,
            modified=modified,
            stage=selection.stage,
            exp_name=exp_name,
            exp_baseline=exp_baseline,
            remote=find_default_remote(reading.config),
            metafiles=reading.metafiles.contents,
            project=project,
        )
        _store(selection.states, key, state)
    return state


def preview_saving(project: str, settings: Settings) -> SavedWorkspace:
    """Find out what a run that starts now would save, and save nothing."""
    reading = read_project(project)
    selection = _select_outs(project, reading, settings)
    return _save_data(project, reading, selection, settings, look=True)


def list_out_paths(project: str) -> set[str]:
    """The paths of all outs, those of a running stage included."""
    return {
        out.entry.path for stage in read_project(project).metafiles.stages for out in stage.outs
    }


def find_untracked_entries(project: str, settings: Settings) -> list[Entry]:
    """Find what a run that starts now would save although DVC does not track it, unhashed."""
    return [out.entry for out in _find_untracked(project, read_project(project), settings)]


def _save_data(
    project: str, reading: Reading, selection: _Selection, settings: Settings, look: bool = False
) -> SavedWorkspace:
    from mlflow_dvc_plugin.capturing.saving.workspace import save_workspace

    outs = selection.outs + _find_untracked(project, reading, settings)
    in_stage = selection.stage is not None
    return save_workspace(project, reading.config, outs, settings, in_stage=in_stage, look=look)


def _find_untracked(project: str, reading: Reading, settings: Settings) -> list[Out]:
    """The outs without a metafile that the settings name; in a stage, those that are its deps."""
    if not settings.save_patterns:
        return []
    from mlflow_dvc_plugin.capturing.saving.untracked import find_untracked

    stages = reading.metafiles.stages
    paths = [out.entry.path for each in stages for out in each.outs if out.local]
    outs = find_untracked(project, [*paths, *reading.metafiles.hashes], settings.save_patterns)
    stage = _find_running_stage(stages, project) if os.environ.get("DVC_STAGE") else None
    if stage is not None:
        from mlflow_dvc_plugin.capturing.running_stage import select_inputs

        outs = select_inputs(outs, stage)
    return _match_patterns(outs, settings)


def _judge_status(
    project: str, reading: Reading, selection: _Selection, budget_ms: int
) -> tuple[Status, tuple[str, ...]]:
    """The status of the outs together, and the paths that are proven different."""
    if not budget_ms:  # then nobody pays for these modules
        return "unverified", ()
    from mlflow_dvc_plugin.capturing.workspace.status import judge_status

    return judge_status(project, selection.expected, reading.config, budget_ms)


def _select_outs(project: str, reading: Reading, settings: Settings) -> _Selection:
    stages = reading.metafiles.stages
    stage = _find_running_stage(stages, project) if os.environ.get("DVC_STAGE") else None
    address = stage.address if stage else None
    key = (address, settings.include, settings.exclude)
    selection: _Selection | None = reading.derived.get(key)
    if selection is None:
        with pause_collector():
            outs = sorted(
                _match_patterns(_list_outs(stages, stage), settings),
                key=lambda out: sort_key(out.entry),
            )
            selection = _Selection(address, outs, _hash_locks(reading.metafiles.hashes))
        _store(reading.derived, key, selection)
    return selection


def _find_running_stage(stages: list[Stage], project: str) -> Stage | None:
    # Few processes run in a stage, and only those pay for this module.
    from mlflow_dvc_plugin.capturing.running_stage import find_running_stage

    return find_running_stage(stages, project, os.environ)


def _list_outs(stages: list[Stage], running: Stage | None) -> list[Out]:
    if running is None:
        return [out for stage in stages for out in stage.outs]
    from mlflow_dvc_plugin.capturing.running_stage import find_valid_outs

    return find_valid_outs(stages, running)


def _store(results: dict[Any, Any], key: tuple[object, ...], result: object) -> None:
    """Keep a result for the next capture, but not too many."""
    if len(results) >= _MAX_RESULTS:
        results.clear()
    results[key] = result


def _match_patterns(outs: list[Out], settings: Settings) -> list[Out]:
    """The outs that the patterns of the settings select."""
    if not settings.include and not settings.exclude:
        return outs
    include = _compile_patterns("INCLUDE", settings.include or ("*",))
    exclude = _compile_patterns("EXCLUDE", settings.exclude)
    return [
        out
        for out in outs
        if include.match_file(out.entry.path) and not exclude.match_file(out.entry.path)
    ]


def _compile_patterns(name: str, patterns: tuple[str, ...]) -> Any:
    from pathspec import PathSpec

    from mlflow_dvc_plugin.capturing.ignore.dvcignore import find_pattern_class

    try:
        return PathSpec.from_lines(find_pattern_class(), patterns)
    except ValueError as err:
        raise SettingsError(PREFIX + name, ",".join(patterns), "gitwildmatch patterns") from err


def _hash_locks(hashes: Mapping[str, str]) -> str | None:
    """MD5 over the lock files, from that of each; None without one."""
    locks = {path: each for path, each in hashes.items() if f"/{path}".endswith("/dvc.lock")}
    if len(locks) <= 1:
        return next(iter(locks.values()), None)
    lines = sorted(f"{path}\t{value}\n" for path, value in locks.items())
    return hash_bytes("".join(lines).encode("utf-8", "surrogateescape"))
