"""Restore data into a folder of its own; the project is not touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring.checkout import Checkout
from mlflow_dvc_plugin.restoring.files.paths import is_within
from mlflow_dvc_plugin.restoring.metafiles.planner import read_workspace
from mlflow_dvc_plugin.restoring.project import find_root, open_project
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher, Options
from mlflow_dvc_plugin.restoring.run_data.listings import list_files
from mlflow_dvc_plugin.restoring.run_data.outs import Selection
from mlflow_dvc_plugin.state import Entry


def restore_to_folder(
    root: str, selection: Selection, folder: str, options: Options
) -> RestoreResult:
    """Write a run's data into a folder."""
    path = os.path.relpath(os.path.realpath(folder), os.path.realpath(root)).replace(os.sep, "/")
    if path.split("/")[0] in (".", ".dvc", ".git"):
        raise RestoreError(f"{folder} belongs to the project. Name another folder for --out.")
    if any(is_within(path, e.path) for e in read_workspace(root).entries):
        raise RestoreError(f"DVC tracks what is in {folder}. Name another folder for --out.")
    state = selection.state
    with open_project(root) as dvc:
        dvc.remotes.check_name(options.remote)
        fetcher = Fetcher(dvc, selection.data, state.git_commit, options, selection.forgotten)
        checkout = Checkout(fetcher, folder, selection.run_id, source=state.source)
        result = checkout.run(list_files(fetcher, selection.data))
    in_git = [f"{e.path}: Git has it, not DVC" for e in selection.git_outs]
    return replace(result, left=[*selection.skipped, *in_git])


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
        checkout = Checkout(fetcher, os.path.abspath(out), "", source="manifest")
        return checkout.run(list_files(fetcher, entries))
