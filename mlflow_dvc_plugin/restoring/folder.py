"""Restore data into a folder of its own; the project is not touched."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.errors import RestoreError, UnsafePathError
from mlflow_dvc_plugin.restoring.checkout import Checkout
from mlflow_dvc_plugin.restoring.files.paths import is_within
from mlflow_dvc_plugin.restoring.metafiles.planner import read_workspace
from mlflow_dvc_plugin.restoring.origin import Origin, make_project
from mlflow_dvc_plugin.restoring.project import find_root, open_project
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher, Options
from mlflow_dvc_plugin.restoring.run_data.listings import list_files
from mlflow_dvc_plugin.restoring.run_data.outs import Selection
from mlflow_dvc_plugin.state import Entry

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

# Without a project, what DVC needs while data is fetched is in a folder of this name.
_HOME = ".mlflow-dvc"


def restore_to_folder(
    origin: Origin, selection: Selection, folder: str, options: Options
) -> RestoreResult:
    """Write a run's data into a folder."""
    if origin.project:
        _check_folder(origin.project, folder)
        with open_project(origin.project) as dvc:
            result = _fill(dvc, selection, folder, options)
    else:
        inside = [e.path for e in selection.data if is_within(e.path, _HOME)]
        if inside:
            raise UnsafePathError(inside[0], "the restore itself needs this folder")
        with _make_home(folder, options) as home:
            config = make_project(origin, home)
            with open_project(home, config) as dvc, dvc.lock([]):
                result = _fill(dvc, selection, folder, options)
    in_git = [f"{e.path}: Git has it, not DVC" for e in selection.git_outs]
    return replace(result, left=[*selection.skipped, *in_git])


def _check_folder(root: str, folder: str) -> None:
    """Refuse a folder that is DVC's, Git's or the project's own."""
    path = os.path.relpath(os.path.realpath(folder), os.path.realpath(root)).replace(os.sep, "/")
    if path.split("/")[0] in (".", ".dvc", ".git"):
        raise RestoreError(f"{folder} belongs to the project. Name another folder for --out.")
    if any(is_within(path, e.path) for e in read_workspace(root).entries):
        raise RestoreError(f"DVC tracks what is in {folder}. Name another folder for --out.")


def _fill(dvc: DvcProject, selection: Selection, folder: str, options: Options) -> RestoreResult:
    state = selection.state
    dvc.remotes.check_name(options.remote)
    fetcher = Fetcher(dvc, selection.data, state.git_commit, options, selection.forgotten)
    checkout = Checkout(fetcher, folder, selection.run_id, source=state.source)
    return checkout.run(list_files(fetcher, selection.data, folder))


@contextmanager
def _make_home(folder: str, options: Options) -> Iterator[str]:
    """Make a folder for DVC, on the disk that the data is written to.

    When a restore is killed it stays, and the next one goes on with what had arrived.
    """
    if options.dry_run:
        with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as home:
            yield home
        return
    existed = os.path.isdir(folder)
    home = os.path.join(folder, _HOME)
    try:
        os.makedirs(home, exist_ok=True)
        yield home
    except OSError as err:
        raise RestoreError(f"{folder} cannot be written to: {err.strerror}.") from err
    finally:
        shutil.rmtree(home, ignore_errors=True)
        if not existed:
            with suppress(OSError):
                os.rmdir(folder)


def extract(
    entries: Sequence[Entry],
    out: str | os.PathLike[str],
    *,
    project: str | None = None,
    commit: str | None = None,
) -> RestoreResult:
    """Write outs into a folder, from the cache or a remote; no run is needed.

    The metafiles of `commit` may name the sources of imports and
    cloud-versioned outs as well as today's.
    """
    options = Options()
    with open_project(find_root(project)) as dvc:
        fetcher = Fetcher(dvc, entries, commit, options)
        folder = os.path.abspath(out)
        checkout = Checkout(fetcher, folder, "", source="manifest")
        return checkout.run(list_files(fetcher, entries, folder))
