"""Restore code and data together, in a new Git worktree at the run's commit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from mlflow_dvc_plugin.errors import GitError, RestoreError
from mlflow_dvc_plugin.git import find_prefix, is_commit, resolve_commit, run_git
from mlflow_dvc_plugin.restoring.in_place import restore_in_place
from mlflow_dvc_plugin.restoring.project import open_project
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher, Options
from mlflow_dvc_plugin.restoring.run_data.listings import list_files
from mlflow_dvc_plugin.restoring.run_data.outs import Selection


def restore_to_worktree(
    root: str, selection: Selection, folder: str, options: Options
) -> RestoreResult:
    """Make a Git worktree at the run's commit in a new folder, and restore its data there."""
    # The project may have remotes that the commit does not know: fetch with its configuration.
    with open_project(root) as dvc:
        commit = selection.state.git_commit
        fetcher = Fetcher(dvc, selection.data, commit, options, selection.forgotten)
        files = list_files(fetcher, selection.data, folder).files
        fetcher.fetch({obj: path for path, obj in files.items() if obj is not None})
    with _make_worktree(root, selection.state.git_commit, folder) as inside:
        # `git worktree remove` takes all of it back, so there is no undo.
        return replace(restore_in_place(inside, selection, options), undo=None)


@contextmanager
def _make_worktree(project: str, commit: str | None, folder: str) -> Iterator[str]:
    """Make a worktree that uses the project's cache; remove it if what follows fails.

    Yields the absolute path of the project in the worktree.
    """
    if commit is None or not is_commit(commit):
        raise RestoreError(
            "The run has no Git commit, so its code cannot be restored. Use --out DIR to restore "
            "the data alone."
        )
    if os.path.isdir(folder) and os.listdir(folder):
        raise RestoreError(f"{folder} is not empty. Name a folder that does not exist yet.")
    if run_git(project, "rev-parse", "--show-superproject-working-tree").strip():
        raise RestoreError(
            "The project is in a Git submodule, whose worktrees DVC cannot open. Use --out DIR for "
            "the data, and clone the submodule's repository for the code."
        )
    commit = resolve_commit(project, commit)
    prefix = find_prefix(project)
    # Git takes whatever follows the dashes for a path.
    run_git(project, "worktree", "add", "--quiet", "--detach", "--", folder, commit)
    try:
        inside = os.path.join(folder, prefix).rstrip(os.sep)
        if not os.path.isdir(os.path.join(inside, ".dvc")):
            raise RestoreError(f"Commit {commit[:12]} has no DVC project at {prefix or '.'}.")
        local = os.path.join(".dvc", "config.local")
        if os.path.isfile(os.path.join(project, local)):
            shutil.copy(os.path.join(project, local), os.path.join(inside, local))
        with open_project(project) as dvc:
            dvc.cache.share_with(inside)
        yield inside
    except BaseException:
        remove_worktree(project, folder)
        raise


def remove_worktree(project: str, folder: str) -> None:
    """Remove a worktree with everything in it, and what the repository knows of it."""
    with suppress(GitError):
        run_git(project, "worktree", "remove", "--force", "--force", "--", folder)
