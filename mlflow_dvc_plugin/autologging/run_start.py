"""What autologging does when a run starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, get_args

from mlflow_dvc_plugin.autologging.artifacts import (
    CODE_FILE,
    collect_files,
    has_state_file,
    upload_files,
)
from mlflow_dvc_plugin.autologging.batches import log_tags
from mlflow_dvc_plugin.autologging.parts import Parts
from mlflow_dvc_plugin.autologging.pipeline import read_pipeline
from mlflow_dvc_plugin.autologging.recording import (
    Recording,
    guard,
    has_upload_failed,
    read_stamps,
    warn,
)
from mlflow_dvc_plugin.autologging.structured_files import read_params
from mlflow_dvc_plugin.capturing.run_end import RunData
from mlflow_dvc_plugin.capturing.run_start import RunStart, capture_run_start, find_saved_run_start
from mlflow_dvc_plugin.state import DataState, Status
from mlflow_dvc_plugin.state.tags import CODE_STATUS, build_error_tags, refer_to_manifest

_PARENT = "mlflow.parentRunId"


def start_recording(
    client: Any,
    run: Any,
    parts: Parts,
    *,
    find_other: Callable[[str], Recording | None] = lambda _: None,
    created: bool = True,
) -> Recording | None:
    """Record the data state, the params values and the files that a run starts with.

    None outside a project, or if the state cannot be read.

    Args:
        client: the ``MlflowClient`` to log with.
        run: an ``mlflow.entities.Run``.
        parts: what to log.
        find_other: finds the recording of another run, such as the parent's. What the parent
            has in its tags or among its files is not repeated.
        created: the run was created just now; False for a resumed run.
    """
    run_id = run.info.run_id
    found = _read_state(client, run, parts, find_other, created)
    if found is None:
        return None
    parent = find_other(run.data.tags.get(_PARENT, ""))
    start_ns = time.time_ns() if created else (run.info.start_time or 0) * 1_000_000
    tags = run.data.tags
    recording = Recording(
        run_id, parts, found.state, found.settings.max_path_tags, start_ns, tags=tags
    )
    if "dvc.schema" in tags and tags.get("dvc.data_hash") != found.state.data_hash:
        warn(parts, [f"Run {run_id} was recorded on other data: its DVC data is not logged."])
        recording.state = None
        return recording
    if found.state.project:
        recording.data = RunData(found.state, found.settings.status_budget_ms)
    with guard(parts, "what dvc.yaml declares"):
        if found.state.project:
            _read_pipeline(recording, found.state)
    if parts.artifacts and not has_upload_failed():
        with guard(parts, "artifacts"):
            files = collect_files(found.state, recording.pipeline.params)
            files.update(_find_unsaved_code(found.state, tags))
            recording.files_hash = hash(frozenset(files.items()))
            parent_has_them = parent is not None and recording.files_hash == parent.files_hash
            if not parent_has_them and (created or not has_state_file(client, run_id)):
                upload_files(client, run, found.state, files)
                if CODE_FILE in files:
                    log_tags(client, run_id, {CODE_STATUS: "saved"})
    return recording


def _find_unsaved_code(state: DataState, tags: Mapping[str, str]) -> dict[str, bytes]:
    """The file with the code that was not committed, unless the tags have it."""
    diff = state.program.diff if state.program is not None else b""
    return {CODE_FILE: diff} if diff and tags.get(CODE_STATUS) == "modified" else {}


def _read_state(
    client: Any,
    run: Any,
    parts: Parts,
    find_other: Callable[[str], Recording | None],
    created: bool,
) -> RunStart | None:
    """The data state with the status that the run's tags have, which it gets if it has none."""
    tags = run.data.tags
    tagged = "dvc.schema" in tags
    try:
        found = find_saved_run_start(tags.get("dvc.data_hash", "")) if created else None
        found = found or capture_run_start(judge=not tagged, save=True, program=True)
    except Exception as err:  # noqa: BLE001 - an error must not fail the run
        found, new_tags = None, build_error_tags(str(err))
    else:
        new_tags = found.state.to_tags(found.settings.max_path_tags) if found else {}
    if not tagged:
        if found is not None and found.settings.children != "full":
            new_tags = refer_to_manifest(
                new_tags, tags.get(_PARENT, ""), lambda other: _get_tags(find_other(other))
            )
        with guard(parts, "tags"):
            log_tags(client, run.info.run_id, new_tags)
            # What MLflow makes for the run while it is active gets these tags.
            tags.update(new_tags)
    elif found is not None:
        known: tuple[Status, ...] = get_args(Status)
        status: Status = next((s for s in known if s == tags.get("dvc.status")), "unverified")
        modified = tuple(filter(None, tags.get("dvc.modified", "").split(",")))
        return found._replace(state=found.state._replace(status=status, modified=modified))
    return found


def _get_tags(recording: Recording | None) -> Mapping[str, str] | None:
    return recording.tags if recording is not None else None


def _read_pipeline(recording: Recording, state: DataState) -> None:
    pipeline = recording.pipeline = read_pipeline(state)
    recording.params, problems = read_params(state.project, pipeline.params)
    warn(recording.parts, problems)
    recording.stamps = read_stamps(state.project, [*pipeline.metrics, *pipeline.plots])
