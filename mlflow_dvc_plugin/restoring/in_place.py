"""Restore a run's data in the project itself: the workspace and the metafiles."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.commit_state import read_commit_state
from mlflow_dvc_plugin.capturing.dvc_writer import own_lock
from mlflow_dvc_plugin.capturing.workspace.folders import find_dvcignored
from mlflow_dvc_plugin.capturing.workspace.status import forget_folder_verdicts
from mlflow_dvc_plugin.errors import (
    CaptureError,
    MlflowDvcError,
    RestoreError,
    UnsafePathError,
    join_some,
)
from mlflow_dvc_plugin.restoring.checkout import Checkout
from mlflow_dvc_plugin.restoring.files.code import is_code
from mlflow_dvc_plugin.restoring.files.disk import check_spelling
from mlflow_dvc_plugin.restoring.files.paths import fold_name, is_external
from mlflow_dvc_plugin.restoring.metafiles.git_outs import plan_git_outs
from mlflow_dvc_plugin.restoring.metafiles.gitignore import plan_gitignores
from mlflow_dvc_plugin.restoring.metafiles.planner import (
    MetafilePlanner,
    find_differing,
    read_workspace,
)
from mlflow_dvc_plugin.restoring.metafiles.untracked import select_untracked
from mlflow_dvc_plugin.restoring.project import open_project
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher, Options
from mlflow_dvc_plugin.restoring.run_data.listings import Target, list_files
from mlflow_dvc_plugin.restoring.run_data.outs import Selection
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.entry import find_owner

# The limits of the quick check: for more files, opening DVC is faster.
_QUICK_MS = 500
_QUICK_FILES = 20_000

# Files that DVC or Git would read as their own settings.
_SETTINGS = {"dvc.yaml", "dvc.lock", ".dvcignore", ".gitignore", ".gitattributes", ".gitmodules"}


def confirm_unchanged(root: str, selection: Selection, options: Options) -> RestoreResult | None:
    """Confirm quickly, without opening DVC, that the project has a run's data; None if unsure."""
    state, data = selection.state, selection.data
    entries = (*data, *selection.git_outs)
    count = sum(e.nfiles or 1 for e in entries)
    if any(e.isexec for e in data) or count > _QUICK_FILES:
        return None
    forget_folder_verdicts()
    try:
        workspace = capture(root, settings=Settings(status_budget_ms=_QUICK_MS))
    except CaptureError:
        return None
    if workspace is None or workspace.status != "clean" or workspace.root != state.root:
        return None
    if find_differing(workspace, entries):
        return None
    if MetafilePlanner(root, state, workspace).plan(data, selection.whole).contents:
        return None
    return RestoreResult(
        run_id=selection.run_id,
        source=state.source,
        unchanged=sorted(e.path for e in entries),
        verified=count,
        kept=_find_kept(workspace, state),
        left=list(selection.skipped),
        dry_run=options.dry_run,
    )


def restore_in_place(root: str, selection: Selection, options: Options) -> RestoreResult:
    """Make a project's workspace and metafiles hold a run's data."""
    state, data = selection.state, selection.data
    _check_names(data)
    paths = [os.path.join(root, e.path) for e in (*data, *selection.git_outs)]
    with open_project(root) as dvc, dvc.lock(paths), own_lock(dvc.root):
        dvc.remotes.check_name(options.remote)
        planner = MetafilePlanner(dvc.root, state)
        workspace = planner.workspace
        _check_project(dvc.root, workspace.root, state.root)
        check_spelling(dvc.root, [*_find_kept(workspace, state), *(e.path for e in data)])
        untracked = select_untracked(workspace, data)
        tracked = [e for e in data if e.path not in untracked]
        metafiles = planner.plan(tracked, selection.whole)
        git_outs = plan_git_outs(
            dvc.root, state.git_commit, workspace, selection.git_outs, dvc.cache.read_out
        )
        gitignores = plan_gitignores(dvc.root, workspace, tracked, metafiles.contents)
        fetcher = Fetcher(dvc, data, state.git_commit, options, selection.forgotten)
        target = list_files(fetcher, data, dvc.root)._replace(
            metafiles={**gitignores, **metafiles.contents, **git_outs.contents},
            unsaved=(*metafiles.unsaved, *git_outs.unsaved),
            untracked=tuple(untracked),
        )
        _check_ignored(dvc.root, target.files)
        _check_code(dvc.root, state, workspace, target)
        checkout = Checkout(fetcher, dvc.root, selection.run_id, source=state.source)
        result = checkout.run(target)
        if metafiles.contents and not options.dry_run:
            _verify_metafiles(dvc.root, tracked)
    return replace(
        result,
        unchanged=sorted([*result.unchanged, *git_outs.unchanged]),
        verified=result.verified + len(git_outs.unchanged),
        left=[*selection.skipped, *git_outs.skipped],
        kept=_find_kept(workspace, state),
        untracked=untracked,
    )


def _find_kept(workspace: DataState, state: DataState) -> list[str]:
    paths = {e.path for e in state.entries}
    return sorted(e.path for e in workspace.entries if e.path not in paths and e.hash)


def _check_project(project: str, root: str, run_root: str) -> None:
    """Refuse a run of another project in the same Git repository."""
    if root in (run_root, "..") or is_external(run_root):
        return
    up = [".."] * len(root.split("/")) if root != "." else []
    top = os.path.normpath(os.path.join(project, *up))
    if os.path.isdir(os.path.join(top, run_root, ".dvc")):
        raise RestoreError(
            f"The run was made in {run_root}, another project of this repository. Go there, or "
            "use --out DIR."
        )


def _check_names(entries: Sequence[Entry]) -> None:
    """Refuse data that DVC or Git would read as their own settings."""
    found = [e.path for e in entries if fold_name(posixpath.basename(e.path)) in _SETTINGS]
    if found:
        raise UnsafePathError(
            min(found),
            "DVC or Git would read it as a settings file; use --out DIR to restore the data alone",
        )


def _check_ignored(project: str, files: Iterable[str]) -> None:
    """Refuse files that ``.dvcignore`` excludes, since DVC would find the out changed."""
    hidden = sorted(find_dvcignored(project, files))
    if hidden:
        raise RestoreError(
            f"Today's .dvcignore excludes {join_some(hidden, 10)}, so DVC would not see files that "
            "the run had. Change .dvcignore first, or use --out DIR to restore the data alone."
        )


def _check_code(project: str, state: DataState, workspace: DataState, target: Target) -> None:
    """Refuse files that programs would run, at paths that only tags know: they come from others."""
    unknown = {*target.outs} - {e.path for e in workspace.entries}
    paths = [p for p in target.files if find_owner(p, unknown) and is_code(p)] if unknown else []
    if not paths:
        return
    if state.git_commit is not None:
        with suppress(MlflowDvcError):
            unknown -= {e.path for e in read_commit_state(project, state.git_commit).entries}
    refused = [path for path in paths if find_owner(path, unknown)]
    if refused:
        raise UnsafePathError(
            min(refused),
            "neither today's metafiles nor those of the run's commit track it, and programs may "
            "run a file of this name; use --out DIR to restore the data alone",
        )


def _verify_metafiles(project: str, entries: Sequence[Entry]) -> None:
    """Read the metafiles again: they must say the hashes of the restored data."""
    wrong = find_differing(read_workspace(project), entries)
    if wrong:
        raise RestoreError(
            f"The data is restored, but the metafiles have other hashes of {join_some(wrong, 10)}:"
            " another program wrote to them. Run the same command again, or `mlflow-dvc undo`."
        )
