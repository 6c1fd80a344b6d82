"""The data state of one project, put together."""

from __future__ import annotations

import os
from hashlib import md5
from typing import Any

from mlflow_dvc_plugin.capture import config as dvc_config
from mlflow_dvc_plugin.capture import status
from mlflow_dvc_plugin.capture.project import find_git, head_commit
from mlflow_dvc_plugin.capture.reader import read_project
from mlflow_dvc_plugin.capture.running import outs_within, running_stage
from mlflow_dvc_plugin.capture.stages import Out
from mlflow_dvc_plugin.errors import SettingsError
from mlflow_dvc_plugin.settings import PREFIX, Settings
from mlflow_dvc_plugin.state import DataState


def snapshot(project: str, settings: Settings) -> DataState:
    """The data state of `project`, as of now.

    Raises:
        CaptureError: the state cannot be read truthfully.
        SettingsError: an include or exclude pattern makes no sense.
    """
    config = dvc_config.load(project)
    git = find_git(project)
    contents = read_project(project, git if dvc_config.uses_git(config) else None, config)
    stage = running_stage(contents.stages, project, os.environ)
    if stage is None:
        outs = [out for each in contents.stages for out in each.outs]
    else:
        outs = outs_within(contents.stages, stage)
    outs = sorted(_selected(outs, settings), key=_order)
    verdict, modified = status.judge(project, outs, config, settings.status_budget_ms)
    return DataState(
        root=_relative(project, git[0]) if git else ".",
        entries=tuple(out.entry for out in outs),
        lock_hash=_lock_hash(contents.metafiles),
        git_commit=head_commit(git[1]) if git else None,
        status=verdict,
        modified=modified,
        stage=stage.address if stage else None,
        exp_name=os.environ.get("DVC_EXP_NAME") or None,
        exp_baseline=os.environ.get("DVC_EXP_BASELINE_REV") or None,
        remote=dvc_config.default_remote(config),
        metafiles=contents.metafiles,
        project=project,
    )


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

    from mlflow_dvc_plugin.capture.dvcignore import pattern_class

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
