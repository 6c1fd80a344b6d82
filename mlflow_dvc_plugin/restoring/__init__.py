"""Restore: bring the exact data state of a run back, and lose nothing on the way.

Read the state, plan, fetch and verify, and only then touch the workspace.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.errors import RestoreError, UnsavedContentError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.files import permissions as modes
from mlflow_dvc_plugin.restoring.files.symlinks import is_link
from mlflow_dvc_plugin.restoring.job import Job, opened
from mlflow_dvc_plugin.restoring.operation import Operation
from mlflow_dvc_plugin.restoring.options import Options
from mlflow_dvc_plugin.restoring.plan import git_files as gitfiles
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.restoring.run_data.files import Wanted, expand
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.restoring.undo import journal
from mlflow_dvc_plugin.restoring.worktree import worktree as new_worktree
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.tracking import Run, find_run

__all__ = ["RestoreResult", "extract", "restore", "undo", "undoable"]


def restore(
    run: str | Run,
    paths: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    worktree: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    force: bool = False,
    remote: str | None = None,
    jobs: int | None = None,
    tracking_uri: str | None = None,
    project: str | None = None,
    progress: Progress | None = None,
) -> RestoreResult:
    """Make the workspace hold a run's data, and the metafiles say so.

    Args:
        run: the run, or what :func:`~mlflow_dvc_plugin.tracking.find_run` takes.
        paths: outs, or folders above some, relative to the project; None for
            all of the run's.
        out: a folder to write the data into; the project is then not touched.
        worktree: a folder for a new Git worktree at the run's commit, with the
            recorded metafiles and data; the project is then not touched.
        dry_run: only say what would be done.
        force: save what is in the way into the cache, and go on.
        remote: the remote to fetch from; None for each out's own.
        jobs: how many objects to fetch at once.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.
        progress: hears of files and bytes.

    Raises:
        MlflowDvcError: it cannot be done. The workspace is as it was, unless
            the disk refused while files were being written.
    """
    options = Options(dry_run, force, remote, jobs, progress or Progress())
    root = _project(project)
    found = find_run(run, tracking_uri) if isinstance(run, str) else run
    state = load_state(found, project=root)
    options.progress.begin("Looking at the project", 0)
    job = Job(found.run_id, state, paths, options)
    if worktree is not None:
        if out is not None or dry_run:
            raise RestoreError("A worktree is made as a whole: leave out --out and --dry-run.")
        job.fetch(root)
        with new_worktree(root, state.git_commit, os.path.abspath(worktree)) as inside:
            # There was nothing there before: `git worktree remove` takes it back.
            result = replace(job.in_place(inside), undo=None)
    elif out is not None:
        result = job.into(root, os.path.abspath(out))
    else:
        result = job.done_already(root) or job.in_place(root)
    outs = {*result.added, *result.modified, *result.unchanged}
    return replace(result, differed=[path for path in state.modified if path in outs])


def extract(
    entries: Sequence[Entry],
    out: str | os.PathLike[str],
    *,
    project: str | None = None,
    commit: str | None = None,
) -> RestoreResult:
    """Write outs into a folder, from the cache or a remote; no run is needed.

    Args:
        entries: the outs.
        out: the folder.
        project: the project whose cache and remotes are used; None for the one
            at the working directory.
        commit: a Git commit of the project whose metafiles may say where
            imports and cloud-versioned outs come from, beside today's.

    Raises:
        MlflowDvcError: it cannot be done.
    """
    options = Options()
    with opened(_root(project)) as dvc:
        fetcher = Fetcher(dvc, entries, commit, options)
        work = Operation(fetcher, os.path.abspath(out), "", source="manifest", options=options)
        return work.run(expand(fetcher, entries), [e.path for e in entries], {})


def undo(
    record: str | None = None,
    *,
    dry_run: bool = False,
    force: bool = False,
    project: str | None = None,
    progress: Progress | None = None,
) -> RestoreResult:
    """Take the last restore back; an undo can itself be undone.

    Args:
        record: names an earlier restore (see :func:`undoable`), which is taken
            back with everything after it; None for the last one.
        dry_run: only say what would be done.
        force: save what is in the way into the cache, and go on.
        project: the project's folder; None for the one at the working directory.
        progress: hears of files and bytes.

    Raises:
        MlflowDvcError: it cannot be done.
    """
    options = Options(dry_run, force, progress=progress or Progress())
    root = _project(project)
    with opened(root) as dvc:
        last = journal.before(dvc.tmp_dir, record)
        back = {p for p, obj in last.files.items() if obj is not None and not is_link(obj)}
        bits = {
            path: modes.exactly(mode)
            for path, mode in last.modes.items()
            if path in back or path in last.metafiles
        }
        files = Wanted((), dict(last.files), modes=bits, kept=last.folders)
        fetcher = Fetcher(dvc, (), None, options)
        with dvc.lock([os.path.join(root, path) for path in last.files]):
            if journal.before(dvc.tmp_dir, record) != last:
                raise RestoreError("Something else was restored just now: run the command again.")
            edited = gitfiles.edited(dvc.root, last)
            if edited and not force:
                raise UnsavedContentError(edited)
            work = Operation(
                *(fetcher, dvc.root, last.run_id),
                source="undo",
                options=options,
                takes_back=last.journal_id,
            )
            return work.run(files, last.outs, last.metafiles)


def undoable(project: str | None = None) -> list[journal.Journal]:
    """What can be taken back, the newest first; the last ten are kept.

    Args:
        project: the project's folder; None for the one at the working directory.

    Raises:
        MlflowDvcError: there is no project, or a record cannot be read.
    """
    return journal.kept(os.path.join(_root(project), ".dvc", "tmp"))


def _project(chosen: str | None) -> str:
    stage = os.environ.get("DVC_STAGE")
    if stage:
        raise RestoreError(
            f"DVC is running stage {stage!r}, whose result changing data would spoil: wait for it."
        )
    return _root(chosen)


def _root(chosen: str | None) -> str:
    root = os.path.abspath(chosen) if chosen else find_project()
    if root is None:
        raise RestoreError("This is no DVC project: go to the project that the run was made in.")
    return root
