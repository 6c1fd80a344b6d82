"""Restore: bring the exact data state of a run back, and lose nothing on the way.

Read the state, plan, fetch and verify, and only then touch the workspace.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow_dvc_plugin.capture import capture, find_project, status
from mlflow_dvc_plugin.capture.folders import left_out
from mlflow_dvc_plugin.errors import CaptureError, RestoreError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restore import gitfiles, journal
from mlflow_dvc_plugin.restore import paths as paths_of
from mlflow_dvc_plugin.restore.fetch import Fetcher
from mlflow_dvc_plugin.restore.links import is_link
from mlflow_dvc_plugin.restore.metafiles import Recorder, differing, said_now
from mlflow_dvc_plugin.restore.operation import Operation, RestoreResult
from mlflow_dvc_plugin.restore.options import Options
from mlflow_dvc_plugin.restore.wanted import Wanted, expand, select, split
from mlflow_dvc_plugin.restore.worktree import worktree as new_worktree
from mlflow_dvc_plugin.runs import Run, find_run, load_state
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc import DvcProject

_GLANCE_MS = 500  # how long to look whether there is nothing to do

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
        run: the run, or what :func:`~mlflow_dvc_plugin.runs.find_run` takes.
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
    job = _Job(found.run_id, state, paths, options)
    if worktree is not None:
        if out is not None or dry_run:
            raise RestoreError("A worktree is made as a whole: leave out --out and --dry-run.")
        _fetch(job, root)
        with new_worktree(root, state.git_commit, os.path.abspath(worktree)) as inside:
            # There was nothing there before: `git worktree remove` takes it back.
            return replace(_in_place(job, inside), undo=None)
    if out is not None:
        return _into(job, root, os.path.abspath(out))
    return _nothing_to_do(job, root) or _in_place(job, root)


class _Job(NamedTuple):
    """What to restore, and how; see :func:`restore`."""

    run_id: str
    state: DataState
    paths: Sequence[str] | None
    options: Options


def _nothing_to_do(job: _Job, root: str) -> RestoreResult | None:
    """The result if the project plainly holds the state: told without opening DVC."""
    status.forget()
    try:
        now = capture(root, settings=Settings(status_budget_ms=_GLANCE_MS))
    except CaptureError:
        return None
    entries, left = select(job.state, job.paths)
    said = {(e.path, e.hash_name, e.hash) for e in now.entries} if now else set()
    if now is None or now.status != "clean":
        return None
    if any((e.path, e.hash_name, e.hash) not in said for e in entries):
        return None
    data, _ = split(entries)
    if now.root != job.state.root or any(e.isexec for e in data):
        return None
    if Recorder(root, job.state, now).rewrite(data, whole=job.paths is None, force=True):
        return None
    mine = {e.path for e in job.state.entries}
    return RestoreResult(
        run_id=job.run_id,
        source=job.state.source,
        added=[],
        modified=[],
        deleted=[],
        unchanged=[e.path for e in data],
        files=0,
        bytes=0,
        verified=sum(e.nfiles or 1 for e in data),
        undo=None,
        kept=sorted(e.path for e in now.entries if e.path not in mine and e.hash),
        left=left,
        dry_run=job.options.dry_run,
    )


def _in_place(job: _Job, root: str) -> RestoreResult:
    """Make a project's workspace and metafiles hold the state."""
    state, options = job.state, job.options
    entries, left = select(state, job.paths)
    data, in_git = split(entries)
    with _opened(root) as dvc, dvc.locked([os.path.join(root, e.path) for e in entries]):
        fetcher = Fetcher(dvc, data, state.git_commit, options)
        dvc.remotes.check(options.remote)
        recorder = Recorder(dvc.root, state)
        now = recorder.now
        _refuse_other_project(dvc.root, now.root, state.root)
        metafiles = recorder.rewrite(data, job.paths is None, options.force)
        blobs, lost = gitfiles.uncached(dvc.root, state, now, in_git, options.force)
        ignores = gitfiles.ignores(dvc.root, now, data, metafiles)
        files = expand(fetcher, data)
        _refuse_hidden(dvc.root, files)
        work = Operation(fetcher, dvc.root, job.run_id, source=state.source, options=options)
        result = work.run(files, [e.path for e in data], {**ignores, **metafiles, **blobs})
        if metafiles and not options.dry_run:
            _verify(dvc.root, data)
    mine = {e.path for e in state.entries}
    kept = [e.path for e in now.entries if e.path not in mine and e.hash]
    return replace(result, left=left + lost, kept=sorted(kept))


def _refuse_hidden(project: str, files: Wanted) -> None:
    """Refuse files that DVC would not see, since its folder would then differ for it."""
    hidden = sorted(left_out(project, files.files))
    if hidden:
        more = f" and {len(hidden) - 10} more" if len(hidden) > 10 else ""
        raise RestoreError(
            f".dvcignore now leaves out {', '.join(hidden[:10])}{more}, so DVC would not "
            "see what the run had: change .dvcignore first, or use --out DIR for the data alone."
        )


def _verify(project: str, entries: Sequence[Entry]) -> None:
    """Read the metafiles again as they are now: they say the data that was restored."""
    wrong = differing(said_now(project), entries)
    if wrong:
        raise RestoreError(
            f"The data is back, but the metafiles say something else of {', '.join(wrong[:10])}: "
            "someone wrote to them meanwhile. Run the same command again, or `mlflow-dvc undo`."
        )


def _refuse_other_project(project: str, root: str, wanted: str) -> None:
    """Refuse a run that belongs to another project of the same Git repository."""
    if root in (wanted, "..") or paths_of.is_external(wanted):
        return
    top = os.path.normpath(
        os.path.join(project, *([".."] * len(root.split("/")) if root != "." else []))
    )
    if os.path.isdir(os.path.join(top, wanted, ".dvc")):
        raise RestoreError(
            f"The run was made in {wanted}, another project of this repository: go there, or use "
            "--out DIR."
        )


def _into(job: _Job, root: str, folder: str) -> RestoreResult:
    """Write the data into a folder of its own."""
    inside = os.path.relpath(os.path.realpath(folder), os.path.realpath(root)).split(os.sep)
    if inside[0] in (".", ".dvc", ".git"):
        raise RestoreError(f"{folder} is the project's own: name another folder for --out.")
    state, options = job.state, job.options
    entries, left = select(state, job.paths)
    data, in_git = split(entries)
    left += [f"{e.path}: Git has it, not DVC" for e in in_git]
    with _opened(root) as dvc:
        dvc.remotes.check(options.remote)
        fetcher = Fetcher(dvc, data, state.git_commit, options)
        work = Operation(fetcher, folder, job.run_id, source=state.source, options=options)
        return replace(work.run(expand(fetcher, data), [e.path for e in data], {}), left=left)


def _fetch(job: _Job, root: str) -> None:
    """Have everything in the cache, by the configuration of the project at `root`."""
    data, _ = split(select(job.state, job.paths)[0])
    with _opened(root) as dvc:
        fetcher = Fetcher(dvc, data, job.state.git_commit, job.options)
        files = expand(fetcher, data).files
        fetcher.fetch({obj: path for path, obj in files.items() if obj is not None})


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
    with _opened(_root(project)) as dvc:
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
    with _opened(root) as dvc:
        last = journal.since(dvc.tmp_dir, record) if record else journal.newest(dvc.tmp_dir)
        modes = {
            path: path in last.executable
            for path, obj in last.files.items()
            if obj is not None and not is_link(obj)
        }
        files = Wanted((), dict(last.files), modes=modes, kept=last.folders)
        fetcher = Fetcher(dvc, (), None, options)
        with dvc.locked([os.path.join(root, path) for path in last.files]):
            work = Operation(fetcher, dvc.root, last.run_id, source="undo", options=options)
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
            f"DVC is running stage {stage!r}: changing data under it would spoil its result."
        )
    return _root(chosen)


def _root(chosen: str | None) -> str:
    root = os.path.abspath(chosen) if chosen else find_project()
    if root is None:
        raise RestoreError("This is no DVC project: go to the project that the run was made in.")
    return root


@contextmanager
def _opened(root: str) -> Iterator[DvcProject]:
    """The project; what the disk refuses becomes one sentence."""
    from mlflow_dvc_plugin.dvc import DvcProject

    try:
        with closing(DvcProject(root)) as dvc:
            yield dvc
    except OSError as err:
        where = f" ({err.filename})" if err.filename else ""
        raise RestoreError(
            f"{err.strerror or err}{where}. Mend that, then run the same command again."
        ) from err
    except (UnicodeError, sqlite3.Error) as err:
        raise RestoreError(f"DVC's files cannot be read ({err}): see `dvc doctor`.") from err


class _Package(ModuleType):
    """This package, which can be called as the function of its name.

    Once it is imported, ``mlflow_dvc_plugin.restore`` is the package, and no
    longer the public function that the parent would load lazily.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> RestoreResult:
        return restore(*args, **kwargs)


sys.modules[__name__].__class__ = _Package
