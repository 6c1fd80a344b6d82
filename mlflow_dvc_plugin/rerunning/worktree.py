"""The Git worktree in which a run is repeated, for as long as that takes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlflow_dvc_plugin.git import find_prefix
from mlflow_dvc_plugin.rerunning.plan import Plan
from mlflow_dvc_plugin.restoring.project import open_project
from mlflow_dvc_plugin.restoring.run_data.fetch import Options
from mlflow_dvc_plugin.restoring.worktree import remove_worktree, restore_to_worktree


@contextmanager
def make_worktree(
    plan: Plan, options: Options, worktree: str | None, keep: bool
) -> Iterator[tuple[str, str]]:
    """Make a worktree with the run's code and data; its folder, and that of the project in it.

    By default it is in the project's ``.dvc/tmp``: on the disk of the cache, so that links to
    the cache are possible.
    """
    root = plan.root
    parent = os.path.join(root, ".dvc", "tmp", "rerun")
    if worktree is None:
        os.makedirs(parent, exist_ok=True)
    folder = os.path.abspath(worktree) if worktree else tempfile.mkdtemp(dir=parent)
    try:
        restore_to_worktree(root, plan.selection, folder, options)
    except BaseException:
        if worktree is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    inside = os.path.join(folder, find_prefix(root)).rstrip(os.sep)
    try:
        yield folder, inside
    finally:
        if not keep:
            with _ignore_interrupts():
                _remove(root, folder, inside)


def _remove(root: str, folder: str, inside: str) -> None:
    """Remove a worktree, and DVC's databases of it."""
    with suppress(Exception), open_project(inside) as dvc:
        dvc.delete_databases()
    remove_worktree(root, folder)


@contextmanager
def _ignore_interrupts() -> Iterator[None]:
    """Let what cleans up end, even if the user presses Ctrl-C again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
