"""One run's data, brought to one place."""

from __future__ import annotations

import os
import posixpath
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.workspace.folders import find_dvcignored
from mlflow_dvc_plugin.capturing.workspace.status import forget_folder_verdicts
from mlflow_dvc_plugin.errors import CaptureError, RestoreError, UnsafePathError
from mlflow_dvc_plugin.restoring.files import paths as paths_of
from mlflow_dvc_plugin.restoring.operation import Operation
from mlflow_dvc_plugin.restoring.options import Options
from mlflow_dvc_plugin.restoring.plan import git_files as gitfiles
from mlflow_dvc_plugin.restoring.plan.metafiles import Recorder, differing, said_now
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.restoring.run_data.files import Wanted, expand, select, split
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

# How long to look whether there is nothing to do, and at how many files: for more
# of them the look takes longer than to open DVC.
_GLANCE_MS = 500
_GLANCE_FILES = 20_000

_SETTINGS = {"dvc.yaml", "dvc.lock", ".dvcignore", ".gitignore", ".gitattributes", ".gitmodules"}


class Job(NamedTuple):
    """A run's data, or some of it, to be brought to one place.

    Attributes:
        run_id: the run.
        state: what it recorded.
        paths: outs, or folders above some; None for all.
        options: how it is done.
    """

    run_id: str
    state: DataState
    paths: Sequence[str] | None
    options: Options

    def done_already(self, root: str) -> RestoreResult | None:
        """The result if the project plainly holds the state: told without opening DVC."""
        entries, left = select(self.state, self.paths)
        data, _ = split(entries)
        if any(e.isexec for e in data) or sum(e.nfiles or 1 for e in data) > _GLANCE_FILES:
            return None
        forget_folder_verdicts()
        try:
            now = capture(root, settings=Settings(status_budget_ms=_GLANCE_MS))
        except CaptureError:
            return None
        said = {(e.path, e.hash_name, e.hash) for e in now.entries} if now else set()
        if now is None or now.status != "clean" or now.root != self.state.root:
            return None
        if any((e.path, e.hash_name, e.hash) not in said for e in entries):
            return None
        if Recorder(root, self.state, now).rewrite(data, whole=self.paths is None, force=True):
            return None
        mine = {e.path for e in self.state.entries}
        return RestoreResult(
            run_id=self.run_id,
            source=self.state.source,
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
            dry_run=self.options.dry_run,
        )

    def in_place(self, root: str) -> RestoreResult:
        """Make a project's workspace and metafiles hold the state."""
        state, options = self.state, self.options
        entries, left = select(state, self.paths)
        data, in_git = split(entries)
        _refuse_special(data)
        with opened(root) as dvc, dvc.lock([os.path.join(root, e.path) for e in entries]):
            fetcher = Fetcher(dvc, data, state.git_commit, options)
            dvc.remotes.check_name(options.remote)
            recorder = Recorder(dvc.root, state)
            now = recorder.now
            _refuse_other_project(dvc.root, now.root, state.root)
            metafiles = recorder.rewrite(data, self.paths is None, options.force)
            blobs, lost = gitfiles.uncached(dvc.root, state, now, in_git, options.force)
            ignores = gitfiles.ignores(dvc.root, now, data, metafiles)
            files = expand(fetcher, data)
            _refuse_hidden(dvc.root, files)
            work = Operation(fetcher, dvc.root, self.run_id, source=state.source, options=options)
            result = work.run(files, [e.path for e in data], {**ignores, **metafiles, **blobs})
            if metafiles and not options.dry_run:
                _verify(dvc.root, data)
        mine = {e.path for e in state.entries}
        kept = [e.path for e in now.entries if e.path not in mine and e.hash]
        return replace(result, left=left + lost, kept=sorted(kept))

    def into(self, root: str, folder: str) -> RestoreResult:
        """Write the data into a folder of its own."""
        inside = os.path.relpath(os.path.realpath(folder), os.path.realpath(root)).split(os.sep)
        if inside[0] in (".", ".dvc", ".git"):
            raise RestoreError(f"{folder} is the project's own: name another folder for --out.")
        rel = "/".join(inside)
        if inside[0] != ".." and any(
            rel == e.path or rel.startswith(f"{e.path}/") for e in said_now(root).entries
        ):
            raise RestoreError(f"DVC tracks what is in {folder}: name another folder for --out.")
        state, options = self.state, self.options
        entries, left = select(state, self.paths)
        data, in_git = split(entries)
        left += [f"{e.path}: Git has it, not DVC" for e in in_git]
        with opened(root) as dvc:
            dvc.remotes.check_name(options.remote)
            fetcher = Fetcher(dvc, data, state.git_commit, options)
            work = Operation(fetcher, folder, self.run_id, source=state.source, options=options)
            return replace(work.run(expand(fetcher, data), [e.path for e in data], {}), left=left)

    def fetch(self, root: str) -> None:
        """Have everything in the cache, by the configuration of the project at `root`."""
        data, _ = split(select(self.state, self.paths)[0])
        with opened(root) as dvc:
            fetcher = Fetcher(dvc, data, self.state.git_commit, self.options)
            files = expand(fetcher, data).files
            fetcher.fetch({obj: path for path, obj in files.items() if obj is not None})


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


def _refuse_special(entries: Sequence[Entry]) -> None:
    """Refuse data that DVC or Git would take for its own settings."""
    special = [e.path for e in entries if paths_of.folded(posixpath.basename(e.path)) in _SETTINGS]
    if special:
        raise UnsafePathError(
            min(special), "DVC or Git would go by it; --out DIR is for the data alone"
        )


def _refuse_hidden(project: str, files: Wanted) -> None:
    """Refuse files that DVC would not see, since its folder would then differ for it."""
    hidden = sorted(find_dvcignored(project, files.files))
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


@contextmanager
def opened(root: str) -> Iterator[DvcProject]:
    """The project; what the disk refuses becomes one sentence."""
    from mlflow_dvc_plugin.dvc.project import DvcProject

    try:
        with closing(DvcProject(root)) as dvc:
            yield dvc
    except OSError as err:
        raise RestoreError(
            f"{err.strerror or err} ({err.filename or root}). Mend that, then run the same command "
            "again."
        ) from err
    except (UnicodeError, sqlite3.Error) as err:
        raise RestoreError(f"DVC's files cannot be read ({err}): see `dvc doctor`.") from err
