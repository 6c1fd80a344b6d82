"""The data state of one project, put together."""

from __future__ import annotations

import os
from hashlib import md5
from typing import Any, NamedTuple

from mlflow_dvc_plugin.capturing import config as dvc_config
from mlflow_dvc_plugin.capturing.formats.stages import Out, Stage
from mlflow_dvc_plugin.capturing.memory import process as memory
from mlflow_dvc_plugin.capturing.running_stage import outs_within, running_stage
from mlflow_dvc_plugin.capturing.workspace import status
from mlflow_dvc_plugin.capturing.workspace.out_places import Made
from mlflow_dvc_plugin.errors import SettingsError
from mlflow_dvc_plugin.git import head_commit
from mlflow_dvc_plugin.settings import PREFIX, Settings
from mlflow_dvc_plugin.state import DataState


class _Chosen(NamedTuple):
    """The outs of a reading that are in the state.

    Attributes:
        reading: what they were chosen from,
        stage: inside which stage,
        patterns: and by which patterns.
        outs: sorted by path.
        made: those that were made once.
        lock_hash: MD5 over the lock files; None without one.
        states: the states that were made of them, by all else that is in one.
    """

    reading: memory.Reading
    stage: Stage | None
    patterns: tuple[tuple[str, ...], tuple[str, ...]]
    outs: list[Out]
    made: Made
    lock_hash: str | None
    states: dict[tuple[object, ...], DataState]


# The last choice for each project, which is the next one unless something changed.
_last: dict[str, _Chosen] = {}
_PROJECTS = 4
_STATES = 8


def snapshot(project: str, settings: Settings) -> DataState:
    """The data state of `project`, as of now: the very same object if it is the same.

    Raises:
        CaptureError: the state cannot be read truthfully.
        SettingsError: an include or exclude pattern makes no sense.
    """
    reading = memory.remembered(project)
    if reading is None:
        # Not around all of this: another thread may fork, and its child keep what it finds.
        with memory.uncollected():
            reading = memory.read(project)
            chosen = _chosen(project, reading, settings)
    else:
        chosen = _chosen(project, reading, settings)
    config, git, contents, _ = reading
    verdict, modified = status.judge(project, chosen.made, config, settings.status_budget_ms)
    commit = head_commit(git[1]) if git else None
    exp_name = os.environ.get("DVC_EXP_NAME") or None
    exp_baseline = os.environ.get("DVC_EXP_BASELINE_REV") or None
    key = (verdict, modified, commit, exp_name, exp_baseline)
    state = chosen.states.get(key)
    if state is None:
        state = DataState(
            root=_relative(project, git[0]) if git else ".",
            entries=tuple([out.entry for out in chosen.outs]),
            lock_hash=chosen.lock_hash,
            git_commit=commit,
            status=verdict,
            modified=modified,
            stage=chosen.stage.address if chosen.stage else None,
            exp_name=exp_name,
            exp_baseline=exp_baseline,
            remote=dvc_config.default_remote(config),
            metafiles=contents.metafiles,
            project=project,
        )
        if len(chosen.states) >= _STATES:
            chosen.states.clear()
        chosen.states[key] = state
    return state


def forget(project: str) -> None:
    """Let go of a project that will not be read again."""
    _last.pop(project, None)
    memory.forget(project)


def _chosen(project: str, reading: memory.Reading, settings: Settings) -> _Chosen:
    stages = reading.contents.stages
    stage = running_stage(stages, project, os.environ)
    patterns = (settings.include, settings.exclude)
    last = _last.get(project)
    if (
        last is not None
        and last.reading is reading
        and last.stage is stage
        and last.patterns == patterns
    ):
        return last
    outs = (
        [out for each in stages for out in each.outs]
        if stage is None
        else (outs_within(stages, stage))
    )
    outs = sorted(_selected(outs, settings), key=_order)
    lock_hash = _lock_hash(reading.contents.metafiles)
    if len(_last) >= _PROJECTS:
        _last.clear()
    found = _last[project] = _Chosen(reading, stage, patterns, outs, Made(outs), lock_hash, {})
    return found


def _relative(project: str, git_root: str) -> str:
    return os.path.relpath(project, git_root).replace(os.sep, "/")


def _order(out: Out) -> tuple[str, str, str]:
    entry = out.entry
    return entry.path, entry.hash or "", entry.metafile


def _selected(outs: list[Out], settings: Settings) -> list[Out]:
    """The outs that the settings' patterns choose."""
    if not settings.include and not settings.exclude:
        return outs
    include = _spec("INCLUDE", settings.include or ("*",))
    exclude = _spec("EXCLUDE", settings.exclude)
    return [
        out
        for out in outs
        if include.match_file(out.entry.path) and not exclude.match_file(out.entry.path)
    ]


def _spec(name: str, patterns: tuple[str, ...]) -> Any:
    from pathspec import PathSpec

    from mlflow_dvc_plugin.capturing.ignore.dvcignore import pattern_class

    try:
        return PathSpec.from_lines(pattern_class(), patterns)
    except ValueError as err:
        raise SettingsError(PREFIX + name, ",".join(patterns), "gitwildmatch patterns") from err


def _lock_hash(metafiles: dict[str, bytes]) -> str | None:
    """MD5 over the lock files; None without one."""
    hashes = {
        path: md5(data, usedforsecurity=False).hexdigest()
        for path, data in metafiles.items()
        if path == "dvc.lock" or path.endswith("/dvc.lock")
    }
    if len(hashes) <= 1:
        return next(iter(hashes.values()), None)
    lines = sorted(f"{path}\t{value}\n" for path, value in hashes.items())
    return md5("".join(lines).encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
