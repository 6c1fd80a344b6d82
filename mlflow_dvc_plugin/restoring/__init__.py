"""Restore the exact data state of a run, and lose nothing on the way.

The state is read, the changes are planned, and all objects are fetched and
verified. Only then is the workspace changed.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import replace

from mlflow_dvc_plugin.errors import GitError, OptionsError, RestoreError, join_some
from mlflow_dvc_plugin.git import is_in_commit, resolve_commit
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.checkout import Checkout
from mlflow_dvc_plugin.restoring.files.contents import read_file
from mlflow_dvc_plugin.restoring.files.permissions import set_exactly
from mlflow_dvc_plugin.restoring.files.symlinks import is_symlink
from mlflow_dvc_plugin.restoring.folder import extract, restore_to_folder
from mlflow_dvc_plugin.restoring.in_place import confirm_unchanged, restore_in_place
from mlflow_dvc_plugin.restoring.origin import Origin, find_origin
from mlflow_dvc_plugin.restoring.project import check_no_stage, find_root, open_project
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher, Options
from mlflow_dvc_plugin.restoring.run_data.listings import Target
from mlflow_dvc_plugin.restoring.run_data.models import add_model_out
from mlflow_dvc_plugin.restoring.run_data.outs import select_outs
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.restoring.undo_records.record import UndoRecord, to_digest
from mlflow_dvc_plugin.restoring.undo_records.store import find_record, list_records
from mlflow_dvc_plugin.restoring.worktree import restore_to_worktree
from mlflow_dvc_plugin.tracking import Run, find_run

__all__ = ["RestoreResult", "extract", "list_undo_records", "restore", "undo"]

_HINT = (
    "Change to the project of the run. Without a clone of it, use --out DIR with the address of "
    "its DVC remote: --url URL."
)


def restore(
    run: str | Run,
    paths: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    worktree: str | os.PathLike[str] | None = None,
    model: bool = False,
    dry_run: bool = False,
    force: bool = False,
    skip_forgotten: bool = False,
    remote: str | None = None,
    jobs: int | None = None,
    tracking_uri: str | None = None,
    project: str | None = None,
    url: str | None = None,
    config: str | None = None,
    cache: str | None = None,
    progress: Progress | None = None,
) -> RestoreResult:
    """Make the workspace hold a run's data, and the metafiles say so.

    With `out` no project is needed, if `url` or `config` says where the data is.

    Args:
        run: the run, or what :func:`~mlflow_dvc_plugin.tracking.find_run` takes.
        paths: outs, or folders above some, relative to the project; None for
            all of the run's.
        out: a folder to write the data into; the project is not touched then.
        worktree: a folder for a new Git worktree at the run's commit, with the
            recorded metafiles and data; the project is not touched then.
        model: bring the bytes of the model, too, that `run` names, if DVC has them.
        dry_run: change nothing, only find out what would be done.
        force: save content that is in the way in the cache, and go on.
        skip_forgotten: leave out what was deleted on purpose, and restore the rest.
        remote: the remote to fetch from; None for each out's own.
        jobs: how many objects to fetch at once.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.
        url: for `out`: the address of a DVC remote to get the data from. None
            for the project or, outside one, for ``MLFLOW_DVC_URL``.
        config: for `out`: a DVC configuration file that names the remote, instead
            of `url`.
        cache: with `url` or `config`: a folder for a cache, which stays; None for
            one that is removed at the end.
        progress: is told of files and bytes.

    Raises:
        MlflowDvcError: it cannot be done. The workspace is as it was, unless
            the disk failed while files were being written.
    """
    check_no_stage()
    options = Options(dry_run, force, remote, jobs, progress or Progress(), skip_forgotten)
    if out is None and (url or config or cache):
        raise OptionsError(
            "--url, --config and --cache need --out DIR: no project is touched then."
        )
    if worktree is not None and (out is not None or dry_run):
        raise OptionsError("--worktree cannot be combined with --out or --dry-run.")
    origin = (
        Origin(find_root(project, _HINT))
        if out is None
        else find_origin(project, url, config, cache)
    )
    root = origin.project
    found = find_run(run, tracking_uri) if isinstance(run, str) else run
    state = load_state(found, project=root or None)
    if model:
        state = add_model_out(state, found)
    options.progress.begin("Reading the project", 0)
    selection = select_outs(found, state, paths)
    if worktree is not None:
        result = restore_to_worktree(root, selection, os.path.abspath(worktree), options)
    elif out is not None:
        result = restore_to_folder(origin, selection, os.path.abspath(out), options)
    else:
        unchanged = confirm_unchanged(root, selection, options)
        result = unchanged or restore_in_place(root, selection, options)
    if result.is_empty and worktree is None:
        reasons = [*result.left, *(f"{path}: {why}" for path, why in result.forgotten.items())]
        reason = join_some(reasons, 20, "; ") or "it recorded no data"
        raise RestoreError(f"Nothing was restored of run {found.run_id}: {reason}.")
    outs = {*result.added, *result.modified, *result.unchanged}
    return replace(result, differed=[path for path in state.modified if path in outs])


def undo(
    record: str | None = None,
    *,
    dry_run: bool = False,
    force: bool = False,
    project: str | None = None,
    progress: Progress | None = None,
) -> RestoreResult:
    """Take the last restore back, or `record` and everything after it; an undo can be undone."""
    check_no_stage()
    options = Options(dry_run, force, progress=progress or Progress())
    root = find_root(project)
    with open_project(root) as dvc:
        last = find_record(dvc.tmp_dir, record)
        with dvc.lock([os.path.join(root, path) for path in last.files]):
            if find_record(dvc.tmp_dir, record) != last:
                raise RestoreError("Another restore ended just now. Run the same command again.")
            fetcher, undone = Fetcher(dvc, (), None, options), last.record_id
            checkout = Checkout(fetcher, dvc.root, last.run_id, source="undo", takes_back=undone)
            return checkout.run(_to_target(dvc.root, last))


def list_undo_records(project: str | None = None) -> list[UndoRecord]:
    """List what can be taken back, the newest first; the last ten records are kept."""
    return list_records(os.path.join(find_root(project), ".dvc", "tmp"))


def _to_target(root: str, record: UndoRecord) -> Target:
    """Make the target that brings back what a record says."""
    files = {p for p, obj in record.files.items() if obj is not None and not is_symlink(obj)}
    return Target(
        outs=record.outs,
        files=record.files,
        modes={
            path: set_exactly(mode)
            for path, mode in record.modes.items()
            if path in files or path in record.metafiles
        },
        empty_folders=record.folders,
        metafiles=record.metafiles,
        unsaved=tuple(_find_edits(root, record)),
    )


def _find_edits(project: str, record: UndoRecord) -> list[str]:
    """Find files that users write, and edited after the restore, and did not commit."""
    try:
        head = resolve_commit(project, "HEAD")
    except GitError:
        head = ""
    found = []
    for path, old in record.metafiles.items():
        if path.endswith(".dvc") or posixpath.basename(path) == "dvc.lock":
            continue
        data = read_file(os.path.join(project, path))
        if data is None or data == old or to_digest(data) == record.written.get(path):
            continue
        if not is_in_commit(project, head, path, data):
            found.append(path)
    return sorted(found)
