"""Pinning: a Git tag on a commit with a run's metafiles, which ``dvc gc --all-tags`` respects."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.commit_state import (
    make_project,
    read_commit_state,
    write_commit_files,
)
from mlflow_dvc_plugin.dvc.yaml import dump_yaml, load_yaml
from mlflow_dvc_plugin.errors import GitError, LineageError, MlflowDvcError, RestoreError
from mlflow_dvc_plugin.git import is_commit, resolve_commit, run_git
from mlflow_dvc_plugin.lineage.result import Result
from mlflow_dvc_plugin.lineage.retention.git_refs import read_refs, write_commit
from mlflow_dvc_plugin.restoring.metafiles.planner import MetafilePlanner
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.tracking import Run, find_run, search_runs

PREFIX = "refs/tags/mlflow-dvc/"
_UNJUDGED = Settings(status_budget_ms=0)
_LATEST = 2**33  # seconds since 1970: a date that Git accepts
_Identity = tuple[str, str, str | None]


@dataclass(frozen=True)
class Pin(Result):
    """A run that was pinned or unpinned; what it read from `modified` paths was not saved."""

    run_id: str
    ref: str
    commit: str
    modified: tuple[str, ...] = ()


def pin(run: str, tracking_uri: str | None) -> Pin:
    """Create a Git tag on a commit whose metafiles record the run's data.

    ``dvc gc --all-tags`` then keeps the data, ``dvc fetch --all-tags`` downloads
    it, and Git keeps the run's own commit, which is the parent. The workspace
    and the index do not change.
    """
    return _pin(find_root(), find_run(run, tracking_uri))


def pin_experiments(
    experiments: Sequence[str], *, saved: bool, tracking_uri: str | None
) -> tuple[list[Pin], dict[str, str]]:
    """Pin the runs of experiments, and tell why some are not pinned, by id.

    With `saved`, only those for which data was saved that no metafile records.
    """
    root = find_root()
    pins: list[Pin] = []
    unpinned: dict[str, str] = {}
    for run in search_runs((), experiments, tracking_uri):
        if saved and not run.has_saved_data:
            continue
        try:
            pins.append(_pin(root, run))
        except MlflowDvcError as err:
            unpinned[run.run_id] = str(err)
    if not pins and not unpinned:
        which = "with saved data" if saved else ""
        raise LineageError(
            f"There is nothing to pin: {', '.join(experiments)} has no runs {which}".rstrip() + "."
        )
    return pins, unpinned


def _pin(root: str, found: Run) -> Pin:
    state = load_state(found, project=root)
    if not _identify(state.entries):
        raise LineageError(f"There is nothing to pin: run {found.run_id} recorded no data.")
    ref = PREFIX + found.run_id
    for base in dict.fromkeys((_find_commit(root, state), None)):
        changes = _change_metafiles(root, state, base)
        if changes is None:
            continue
        commit = write_commit(
            root,
            base,
            changes,
            message=f"Data of MLflow run {found.run_id}",
            seconds=min(max(found.start_time // 1000, 0), _LATEST),
        )
        if _identify(state.entries) <= _identify(read_commit_state(root, commit).entries):
            run_git(root, "update-ref", ref, commit)
            return Pin(found.run_id, ref, commit, found.modified)
    raise LineageError(
        f"Run {found.run_id} is not pinned: no metafiles can record its data. Save a copy with "
        f"`mlflow-dvc restore {found.run_id} --out DIR`."
    )


def unpin(run: str, tracking_uri: str | None) -> Pin:
    """Delete a run's Git tag. The next ``dvc gc`` may then remove its data."""
    root = find_root()
    pins = read_refs(root, PREFIX)
    prefix = run.removeprefix("runs:/")
    matches = [ref for ref in pins if prefix and ref.startswith(PREFIX + prefix)]
    ref = matches[0] if len(matches) == 1 else PREFIX + find_run(run, tracking_uri).run_id
    if ref not in pins:
        raise LineageError(f"Run {ref.removeprefix(PREFIX)} is not pinned in this repository.")
    run_git(root, "update-ref", "-d", ref)
    return Pin(ref.removeprefix(PREFIX), ref, pins[ref])


def _find_commit(root: str, state: DataState) -> str | None:
    """The run's commit, if Git still has it."""
    if state.git_commit is None or not is_commit(state.git_commit):
        return None
    try:
        return resolve_commit(root, state.git_commit)
    except GitError:
        return None


def _change_metafiles(
    root: str, state: DataState, base: str | None
) -> dict[str, bytes | None] | None:
    """The changes to a commit's metafiles that make them record the run's data.

    A temporary project with the files of that commit serves to find them. None if
    there are none that do.
    """
    entries = [e for e in state.entries if e.cached and e.hash]
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as scratch:
        make_project(scratch)
        try:
            if base is not None:
                write_commit_files(root, base, scratch)
            changes = MetafilePlanner(scratch, state).plan(entries, whole=True).contents
            _write_files(scratch, changes)
            removals = _remove_other_outs(scratch, state)
            _write_files(scratch, removals)
        except RestoreError:
            return None
    return {**changes, **removals}


def _remove_other_outs(scratch: str, state: DataState) -> dict[str, bytes | None]:
    """Metafiles without the outs that the run's state does not have.

    For a run in a stage these are the outs that the stage made the time before.
    """
    project = capture(scratch, settings=_UNJUDGED)
    assert project is not None
    outs = _identify(state.entries)
    owners = {(e.metafile, e.stage) for e in project.entries if _identify([e]) & outs}
    changes: dict[str, bytes | None] = {}
    for e in project.entries:
        if not (e.cached and e.hash) or (e.metafile, e.stage) in owners:
            continue
        if e.stage is None:
            changes[e.metafile] = None
            continue
        document = load_yaml(changes.get(e.metafile) or project.metafiles[e.metafile])
        document["stages"].pop(e.stage.rpartition(":")[2], None)
        changes[e.metafile] = dump_yaml(document)
    return changes


def _write_files(folder: str, files: dict[str, bytes | None]) -> None:
    for path, data in files.items():
        target = os.path.join(folder, path)
        if data is None:
            os.unlink(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)


def _identify(entries: Iterable[Entry]) -> set[_Identity]:
    """What makes the data of outs: path, kind of hash and hash."""
    return {(e.path, e.hash_name, e.hash) for e in entries if e.cached and e.hash}
