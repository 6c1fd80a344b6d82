"""Load the data state that a run recorded."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from mlflow_dvc_plugin.errors import (
    GitError,
    MlflowDvcError,
    NoRecordedStateError,
    RunNotFoundError,
)
from mlflow_dvc_plugin.state import DataState, Entry, Source, Status, manifest
from mlflow_dvc_plugin.state.tags import MANIFEST, MANIFEST_RUN, read_manifest_parts
from mlflow_dvc_plugin.tracking.lookup import find_run, get_run
from mlflow_dvc_plugin.tracking.run import Run
from mlflow_dvc_plugin.tracking.store import open_client, to_tracking_error

_STATUSES: tuple[Status, ...] = get_args(Status)


def load_state(
    run: str | Run, tracking_uri: str | None = None, project: str | None = None
) -> DataState:
    """Load the data state that a run recorded.

    Args:
        run: the run, or what :func:`find_run` takes.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: absolute path of the project that has the run's commit, for
            states that need it; None for the one at the working directory.

    Returns:
        The state; `source` tells where it was read. Its paths are what the
        tags say: where they lead is not checked yet.

    Raises:
        NoRecordedStateError: the run has no state that can be trusted.
    """
    if isinstance(run, str):
        run = find_run(run, tracking_uri)
    _check_tags(run)
    errors: list[MlflowDvcError] = []
    for read in (_from_manifest, _from_artifacts, _from_commit):
        try:
            state = read(run, project)
        except MlflowDvcError as err:
            errors.append(err)
            continue
        if state is None:
            continue
        if state.data_hash == run.tags.get("dvc.data_hash"):
            return state
        errors.append(_fingerprint_error(run, state))
    # The first source is the one that should have worked.
    raise errors[0]


def _check_tags(run: Run) -> None:
    schema, error = run.tags.get("dvc.schema"), run.tags.get("dvc.error")
    if schema is None:
        raise NoRecordedStateError(
            f"Run {run.run_id} has no DVC tags: it was started outside a DVC project, without "
            "the plugin, or through MlflowClient. Add them with `mlflow-dvc tag` or `mlflow-dvc "
            "backfill`."
        )
    if error is not None:
        raise NoRecordedStateError(
            f"Run {run.run_id} has no data state, because capture failed: {error}"
        )
    if schema != "1":
        raise NoRecordedStateError(
            f"Run {run.run_id} has DVC tags of schema {schema[:20]!r}, which this release cannot "
            "read. Update mlflow-dvc-plugin."
        )


def _fingerprint_error(run: Run, state: DataState) -> NoRecordedStateError:
    cause = "its tags were changed"
    if state.source == "commit":
        cause = (
            "the workspace differed from the commit, MLFLOW_DVC_INCLUDE or MLFLOW_DVC_EXCLUDE was "
            f"set differently, or {cause}"
        )
    return NoRecordedStateError(
        f"Run {run.run_id} has the fingerprint {run.tags.get('dvc.data_hash')!r} in dvc.data_hash, "
        f"but the state in its {state.source} has {state.data_hash}: {cause}. Its data cannot be "
        "restored."
    )


def _from_manifest(run: Run, project: str | None) -> DataState | None:
    tags = run.tags
    if MANIFEST not in tags and MANIFEST_RUN in tags:
        tags = _read_manifest_run(run).tags
    if MANIFEST not in tags:
        return None
    parsed = manifest.parse(read_manifest_parts(tags))
    entries = parsed.entries
    if not parsed.complete:
        base = {e.path: e for e in _commit_state(run, project).entries}
        for path in parsed.removed:
            base.pop(path, None)
        base.update((e.path, e) for e in entries)
        entries = tuple(sorted(base.values()))
    state = _to_state(run, "manifest", entries, parsed.metafiles, parsed.pipelines)
    return state._replace(program=parsed.program)


def _read_manifest_run(run: Run) -> Run:
    """The run that has the manifest of a run that only refers to it, such as its parent."""
    other = run.tags[MANIFEST_RUN]
    try:
        return get_run(other, run.store or None, even_deleted=True)
    except RunNotFoundError as err:
        raise NoRecordedStateError(
            f"Run {run.run_id} has the same data as run {other[:40]}, whose tags describe it, but "
            "that run is no longer in this MLflow store. Only a clone of the project that has the "
            "run's Git commit may still have a description of the data."
        ) from err


def _from_artifacts(run: Run, _: str | None) -> DataState | None:
    if not run.store:
        return None
    from mlflow_dvc_plugin.restoring.run_data.artifacts import read_artifacts

    client = open_client(run.store)
    # A nested run logs no artifacts if its parent has the same state.
    others = (run.tags.get(MANIFEST_RUN), run.tags.get("mlflow.parentRunId"))
    for run_id in dict.fromkeys((run.run_id, *others)):
        try:
            state = read_artifacts(client, run_id) if run_id else None
        except MlflowDvcError:
            raise
        except Exception as err:
            raise to_tracking_error(err) from err
        if state is not None and state.data_hash == run.tags.get("dvc.data_hash"):
            found = _to_state(run, "artifacts", state.entries, state.metafiles, state.pipelines)
            return found._replace(program=state.program)
    return None


def _from_commit(run: Run, project: str | None) -> DataState:
    # The settings of that time may have excluded some outs.
    for selected in (False, True):
        state = _commit_state(run, project, selected)
        if state.data_hash == run.tags.get("dvc.data_hash"):
            break
    return _to_state(run, "commit", state.entries, state.metafiles)


def _commit_state(run: Run, project: str | None, selected: bool = False) -> DataState:
    from mlflow_dvc_plugin.capturing import find_project
    from mlflow_dvc_plugin.capturing.commit_state import read_commit_state

    commit = run.tags.get("dvc.git_commit")
    here = project or find_project()
    if commit is None:
        raise NoRecordedStateError(
            f"Run {run.run_id} has neither a manifest nor a Git commit, so its data is unknown."
        )
    if here is None:
        raise NoRecordedStateError(
            f"Run {run.run_id} can only be read with the metafiles of Git commit {commit[:12]}. "
            "Run the command in its project."
        )
    try:
        return read_commit_state(here, commit, selected)
    except GitError as err:
        raise NoRecordedStateError(
            f"Run {run.run_id} can only be read with its Git commit: {err}"
        ) from err


def _to_state(
    run: Run,
    source: Source,
    entries: tuple[Entry, ...],
    metafiles: Mapping[str, bytes],
    pipelines: Mapping[str, str] = MappingProxyType({}),
) -> DataState:
    tags = run.tags
    return DataState(
        root=tags.get("dvc.root", "."),
        entries=entries,
        lock_hash=tags.get("dvc.lock_hash"),
        git_commit=tags.get("dvc.git_commit"),
        status=next((s for s in _STATUSES if s == tags.get("dvc.status")), "unverified"),
        modified=run.modified,
        stage=tags.get("dvc.stage"),
        exp_name=tags.get("dvc.exp_name"),
        exp_baseline=tags.get("dvc.exp_baseline"),
        remote=tags.get("dvc.remote"),
        metafiles=metafiles,
        pipelines=pipelines,
        source=source,
    )
