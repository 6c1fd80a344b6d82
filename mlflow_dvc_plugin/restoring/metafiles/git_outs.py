"""Plan the outs that DVC leaves to Git (``cache: false``): their bytes come from commits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mlflow_dvc_plugin.git import is_in_commit, read_blob
from mlflow_dvc_plugin.restoring.files.contents import read_file
from mlflow_dvc_plugin.restoring.files.paths import FolderGuard, check_path
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import Obj


class GitOutPlan(NamedTuple):
    """What a restore does with the outs that DVC leaves to Git.

    `skipped` has the reasons, and `unsaved` the paths with content saved nowhere else.
    """

    contents: dict[str, bytes | None]
    unchanged: list[str]
    skipped: list[str]
    unsaved: list[str]


def plan_git_outs(
    project: str,
    commit: str | None,
    workspace: DataState,
    entries: Iterable[Entry],
    read_cached: Callable[[Entry], bytes | None],
) -> GitOutPlan:
    """Plan the outs that DVC leaves to Git.

    Only paths that today's ``dvc.yaml`` itself leaves to Git are written: tags
    could name any other. Their content is read from the run's `commit`, or else from the
    cache, where the run may have saved it.
    """
    plan = GitOutPlan({}, [], [], [])
    git_outs = {e.path: e for e in workspace.entries if not e.cached}
    guard = FolderGuard(project)
    for e in entries:
        check_path(e.path)
        guard.check(e.path)
        full = os.path.join(project, e.path)
        present = None if os.path.isdir(full) else read_file(full)
        if present is not None and _has_hash(present, e):
            plan.unchanged.append(e.path)
            continue
        today = git_outs.get(e.path)
        data = read_blob(project, str(commit), e.path)
        if data is None or not _has_hash(data, e):
            data = read_cached(e)
        if today is None:
            plan.skipped.append(f"{e.path}: today's dvc.yaml does not make it")
        elif e.isdir or os.path.isdir(full) or os.path.islink(full):
            plan.skipped.append(f"{e.path}: Git has it, not DVC")
        elif data is None or not _has_hash(data, e):
            plan.skipped.append(
                f"{e.path}: DVC does not cache it, and the run's commit has another version"
            )
        else:
            plan.contents[e.path] = data
            if (
                present is not None
                and not _has_hash(present, today)
                and not is_in_head(project, workspace, e.path, present)
            ):
                plan.unsaved.append(e.path)
    return plan


def is_in_head(project: str, workspace: DataState, path: str, data: bytes) -> bool:
    """Tell whether HEAD has these bytes at a path, so that replacing them loses nothing."""
    return workspace.git_commit is not None and is_in_commit(
        project, workspace.git_commit, path, data
    )


def _has_hash(data: bytes, e: Entry) -> bool:
    if e.hash_name == "md5-dos2unix" and b"\0" not in data:
        data = data.replace(b"\r\n", b"\n")
    return Obj.from_bytes(data).value == e.hash
