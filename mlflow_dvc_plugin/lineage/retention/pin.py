"""Keep a run's data from ``dvc gc --all-tags``: a Git tag on a commit with its metafiles."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Any

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.commit_state import read_commit_state, write_commit_files
from mlflow_dvc_plugin.dvc.yaml import dump_yaml, load_yaml
from mlflow_dvc_plugin.errors import GitError, LineageError, RestoreError
from mlflow_dvc_plugin.git import is_commit, resolve_commit
from mlflow_dvc_plugin.lineage.retention.git_refs import read_refs, set_ref, write_commit
from mlflow_dvc_plugin.lineage.workspace import root_of
from mlflow_dvc_plugin.restoring.plan.metafiles import Recorder
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.tracking import find_run

PREFIX = "refs/tags/mlflow-dvc/"
_UNJUDGED = Settings(status_budget_ms=0)
_LATEST = 2**33  # seconds: a date that Git takes
_Identity = tuple[str, str, str | None]


@dataclass(frozen=True)
class Pin:
    """A run that is pinned, or was.

    Attributes:
        run_id: the run.
        ref: the Git tag, in full.
        commit: the commit that it points to.
    """

    run_id: str
    ref: str
    commit: str

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return dict(vars(self))


def pin(run: str, *, tracking_uri: str | None = None, project: str | None = None) -> Pin:
    """Make a Git tag whose metafiles say what the run's data is.

    ``dvc gc --all-tags`` then keeps the data, ``dvc fetch --all-tags`` brings
    it, and Git keeps the run's own commit, which is the parent. Neither the
    workspace nor the index is touched.

    Args:
        run: what :func:`~mlflow_dvc_plugin.tracking.find_run` takes.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.

    Raises:
        LineageError: no metafiles can say what the run's data is.
        MlflowDvcError: the run, or Git, cannot be read.
    """
    root = root_of(project)
    found = find_run(run, tracking_uri)
    state = load_state(found, project=root)
    ref = PREFIX + found.run_id
    commit = ""
    for base in dict.fromkeys((_commit_of(root, state), None)):
        changes = _metafiles(root, state, base)
        if changes is None:
            continue
        commit = write_commit(
            root,
            base,
            changes,
            message=f"Data of MLflow run {found.run_id}",
            seconds=min(max(found.start_time // 1000, 0), _LATEST),
        )
        if _data(state.entries) <= _data(read_commit_state(root, commit).entries):
            set_ref(root, ref, commit)
            return Pin(found.run_id, ref, commit)
    raise LineageError(
        f"No metafiles can say what the data of run {found.run_id} is, so it is not pinned. Keep "
        f"a copy with `mlflow-dvc restore {found.run_id} --out DIR`."
    )


def unpin(run: str, *, tracking_uri: str | None = None, project: str | None = None) -> Pin:
    """Take a run's Git tag away; the next ``dvc gc`` may remove its data.

    Args:
        run: what :func:`~mlflow_dvc_plugin.tracking.find_run` takes; the run itself
            may be gone.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.

    Raises:
        LineageError: the run is not pinned.
    """
    root = root_of(project)
    pins = read_refs(root, PREFIX)
    wanted = run.removeprefix("runs:/")
    fitting = [ref for ref in pins if wanted and ref.startswith(PREFIX + wanted)]
    ref = fitting[0] if len(fitting) == 1 else PREFIX + find_run(run, tracking_uri).run_id
    if ref not in pins:
        raise LineageError(f"Run {ref.removeprefix(PREFIX)} is not pinned here.")
    set_ref(root, ref, None)
    return Pin(ref.removeprefix(PREFIX), ref, pins[ref])


def _commit_of(root: str, state: DataState) -> str | None:
    """The run's commit, if Git still has it."""
    if state.git_commit is None or not is_commit(state.git_commit):
        return None
    try:
        return resolve_commit(root, state.git_commit)
    except GitError:
        return None


def _metafiles(root: str, state: DataState, base: str | None) -> dict[str, bytes | None] | None:
    """What must differ from a commit's metafiles for them to say the run's data.

    They are worked out in a scratch project made of that commit. None if
    there is no way.
    """
    entries = [e for e in state.entries if e.cached and e.hash]
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as scratch:
        os.mkdir(os.path.join(scratch, ".dvc"))
        try:
            if base is not None:
                write_commit_files(root, base, scratch)
            changes = Recorder(scratch, state).rewrite(entries, whole=True, force=True)
            _write(scratch, changes)
            strangers = _strangers(scratch, state)
            _write(scratch, strangers)
        except RestoreError:
            return None
    return {**changes, **strangers}


def _strangers(scratch: str, state: DataState) -> dict[str, bytes | None]:
    """Metafiles without what they record of outs that the run's state does not have.

    For a run in a stage these are that stage's outs of the time before.
    """
    said = capture(scratch, settings=_UNJUDGED)
    assert said is not None
    mine = _data(state.entries)
    kept = {(e.metafile, e.stage) for e in said.entries if _identity(e) in mine}
    changes: dict[str, bytes | None] = {}
    for e in said.entries:
        if not (e.cached and e.hash) or (e.metafile, e.stage) in kept:
            continue
        if e.stage is None:
            changes[e.metafile] = None
            continue
        document = load_yaml(changes.get(e.metafile) or said.metafiles[e.metafile])
        document["stages"].pop(e.stage.rpartition(":")[2], None)
        changes[e.metafile] = dump_yaml(document)
    return changes


def _write(folder: str, files: dict[str, bytes | None]) -> None:
    for path, data in files.items():
        target = os.path.join(folder, path)
        if data is None:
            os.unlink(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)


def _data(entries: tuple[Entry, ...]) -> set[_Identity]:
    return {_identity(e) for e in entries if e.cached and e.hash}


def _identity(e: Entry) -> _Identity:
    return e.path, e.hash_name, e.hash
