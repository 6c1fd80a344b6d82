"""The data state that a run recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from mlflow_dvc_plugin.errors import GitError, MlflowDvcError, NoRecordedStateError
from mlflow_dvc_plugin.state import DataState, Entry, Status, manifest
from mlflow_dvc_plugin.state.tags import MANIFEST, read_manifest_parts
from mlflow_dvc_plugin.tracking.lookup import find_run
from mlflow_dvc_plugin.tracking.run import Run
from mlflow_dvc_plugin.tracking.store import open_client, to_tracking_error

_STATUSES: tuple[Status, ...] = get_args(Status)


def load_state(
    run: str | Run, tracking_uri: str | None = None, project: str | None = None
) -> DataState:
    """The data state that a run recorded.

    Args:
        run: the run, or what :func:`find_run` takes.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: absolute path of the project that the run's commit is in, for
            states that need it; None for the one at the working directory.

    Returns:
        The state, with `source` telling where it was read. Its paths are what
        the tags say, and not yet checked for where they lead.

    Raises:
        NoRecordedStateError: the run has no state that can be believed.
    """
    if isinstance(run, str):
        run = find_run(run, tracking_uri)
    tags = run.tags
    if "dvc.schema" not in tags:
        raise NoRecordedStateError(
            f"Run {run.run_id} has no DVC tags: it was started outside a DVC project, without "
            "the plugin, or through MlflowClient. `mlflow-dvc tag` and `backfill` give it some."
        )
    if "dvc.error" in tags:
        raise NoRecordedStateError(
            f"Run {run.run_id} has no data state, since capture failed: {tags['dvc.error']}"
        )
    if tags["dvc.schema"] != "1":
        raise NoRecordedStateError(
            f"Run {run.run_id} has DVC tags of schema {tags['dvc.schema'][:20]!r}: update "
            "mlflow-dvc-plugin."
        )
    failed: list[MlflowDvcError] = []
    for read in (_from_manifest, _from_artifacts, _from_commit):
        try:
            state = read(run, project)
        except MlflowDvcError as err:
            failed.append(err)
            continue
        if state is None:
            continue
        if state.data_hash == tags.get("dvc.data_hash"):
            return state
        failed.append(_changed(run, state))
    # The first is the one that should have worked.
    raise failed[0]


def _changed(run: Run, state: DataState) -> NoRecordedStateError:
    why = "its tags were changed"
    if state.source == "commit":
        why = (
            "the workspace was not as committed, it had other MLFLOW_DVC_INCLUDE or _EXCLUDE, "
            f"or {why}"
        )
    return NoRecordedStateError(
        f"Run {run.run_id}: the state recorded in its {state.source} has the fingerprint "
        f"{state.data_hash}, its dvc.data_hash is {run.tags.get('dvc.data_hash')!r}: {why}, so "
        "nothing is restored from them."
    )


def _from_manifest(run: Run, project: str | None) -> DataState | None:
    if MANIFEST not in run.tags:
        return None
    found = manifest.parse(read_manifest_parts(run.tags))
    entries = found.entries
    if not found.complete:
        base = {e.path: e for e in _commit_state(run, project).entries}
        for path in found.removed:
            base.pop(path, None)
        base.update((e.path, e) for e in entries)
        entries = tuple(sorted(base.values()))
    return replace(
        _scalars(run, entries),
        metafiles=found.metafiles,
        pipelines=found.pipelines,
        source="manifest",
    )


def _from_artifacts(run: Run, _: str | None) -> DataState | None:
    if not run.store:
        return None
    from mlflow_dvc_plugin.restoring.run_data.artifacts import state_of

    client = open_client(run.store)
    # A nested run leaves the files to its parent, if that has the same.
    for run_id in (run.run_id, run.tags.get("mlflow.parentRunId")):
        try:
            state = state_of(client, run_id) if run_id else None
        except MlflowDvcError:
            raise
        except Exception as err:
            raise to_tracking_error(err) from err
        if state is not None and state.data_hash == run.tags.get("dvc.data_hash"):
            return replace(
                _scalars(run, state.entries),
                metafiles=state.metafiles,
                pipelines=state.pipelines,
                source="artifacts",
            )
    return None


def _from_commit(run: Run, project: str | None) -> DataState:
    # Settings may have kept some outs out of the state.
    for selected in (False, True):
        state = _commit_state(run, project, selected)
        if state.data_hash == run.tags.get("dvc.data_hash"):
            break
    scalars = _scalars(run, state.entries)
    return replace(scalars, metafiles=state.metafiles, source="commit")


def _commit_state(run: Run, project: str | None, selected: bool = False) -> DataState:
    from mlflow_dvc_plugin.capturing import find_project
    from mlflow_dvc_plugin.capturing.commit_state import read_commit_state

    commit = run.tags.get("dvc.git_commit")
    here = project or find_project()
    if commit is None:
        raise NoRecordedStateError(
            f"Run {run.run_id} has neither a manifest nor a Git commit: its data is unknown."
        )
    if here is None:
        raise NoRecordedStateError(
            f"Run {run.run_id} needs the metafiles of Git commit {commit[:12]}: go to its project."
        )
    try:
        return read_commit_state(here, commit, selected)
    except GitError as err:
        raise NoRecordedStateError(f"Run {run.run_id} needs its Git commit: {err}") from err


def _scalars(run: Run, entries: tuple[Entry, ...]) -> DataState:
    tags = run.tags
    said = tags.get("dvc.status")
    return DataState(
        root=tags.get("dvc.root", "."),
        entries=entries,
        lock_hash=tags.get("dvc.lock_hash"),
        git_commit=tags.get("dvc.git_commit"),
        status=next((status for status in _STATUSES if status == said), "unverified"),
        modified=run.modified,
        stage=tags.get("dvc.stage"),
        exp_name=tags.get("dvc.exp_name"),
        exp_baseline=tags.get("dvc.exp_baseline"),
        remote=tags.get("dvc.remote"),
    )
