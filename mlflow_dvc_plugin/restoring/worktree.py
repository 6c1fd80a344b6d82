"""A Git worktree at a run's commit, set up so that DVC shares the project's cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlflow_dvc_plugin.errors import GitError, RestoreError
from mlflow_dvc_plugin.git import is_commit, resolve_commit, run_git


@contextmanager
def worktree(project: str, commit: str | None, folder: str) -> Iterator[str]:
    """Make a worktree; taken away again if what follows fails.

    Args:
        project: absolute path of the project.
        commit: the run's commit.
        folder: where the worktree is to be; must be empty or not exist.

    Yields:
        The absolute path of the project in the worktree.

    Raises:
        RestoreError: there is no commit, or the folder is in use.
        GitError: Git could not make it.
    """
    if commit is None or not is_commit(commit):
        raise RestoreError(
            "The run has no Git commit, so no code to bring back: --out DIR is for the data alone."
        )
    if os.path.isdir(folder) and os.listdir(folder):
        raise RestoreError(f"{folder} is not empty: name a folder that does not exist yet.")
    if run_git(project, "rev-parse", "--show-superproject-working-tree").strip():
        raise RestoreError(
            "The project is in a Git submodule, whose worktrees DVC cannot open: use --out DIR "
            "for the data, and clone the submodule's repository for the code."
        )
    commit = resolve_commit(project, commit)
    prefix = run_git(project, "rev-parse", "--show-prefix").decode().strip()
    # `.` and `..` aside, Git takes whatever follows the dashes for a path.
    run_git(project, "worktree", "add", "--quiet", "--detach", "--", folder, commit)
    try:
        inside = os.path.join(folder, prefix).rstrip(os.sep)
        if not os.path.isdir(os.path.join(inside, ".dvc")):
            raise RestoreError(f"Commit {commit[:12]} has no DVC project at {prefix or '.'}.")
        _share(project, inside)
        yield inside
    except BaseException:
        with suppress(GitError):
            run_git(project, "worktree", "remove", "--force", "--force", "--", folder)
        raise


def _share(project: str, inside: str) -> None:
    """Give the worktree the project's local settings, and its cache."""
    local = os.path.join(project, ".dvc", "config.local")
    if os.path.isfile(local):
        shutil.copy(local, os.path.join(inside, ".dvc", "config.local"))
    from mlflow_dvc_plugin.dvc.project import DvcProject

    dvc = DvcProject(project)
    try:
        dvc.cache.share_with(inside)
    finally:
        dvc.close()
