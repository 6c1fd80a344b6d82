"""What autologging does when a run ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlflow_dvc_plugin.autologging.artifacts import upload_plots
from mlflow_dvc_plugin.autologging.batches import log_metrics, log_params
from mlflow_dvc_plugin.autologging.dataset_inputs import is_modified, log_datasets
from mlflow_dvc_plugin.autologging.file_stamps import find_written
from mlflow_dvc_plugin.autologging.recording import Recording, guard, has_upload_failed, warn
from mlflow_dvc_plugin.autologging.structured_files import read_metrics
from mlflow_dvc_plugin.state import DataState

_NOT_LOGGED = "{} is not logged as a dataset: its content may differ from the hash that DVC has."


def finish_recording(client: Any, recording: Recording) -> None:
    """Log the run's data inputs, params, metrics and plots that the user did not log."""
    state, parts = recording.state, recording.parts
    if state is None:
        return
    with guard(parts, "datasets, params, metrics and plots"):
        run = client.get_run(recording.run_id)
        if parts.datasets:
            with guard(parts, "datasets"):
                _log_datasets(client, recording, state, run)
        if parts.params:
            with guard(parts, "params"):
                known = run.data.params
                warn(parts, log_params(client, recording.run_id, recording.params, known))
        if parts.metrics:
            with guard(parts, "metrics"):
                _log_metrics(client, recording, state, run)
        if parts.plots and not has_upload_failed():
            with guard(parts, "plots"):
                paths = _find_written(recording, state, recording.pipeline.plots)
                warn(parts, upload_plots(client, recording.run_id, state.project, paths))


def _log_datasets(client: Any, recording: Recording, state: DataState, run: Any) -> None:
    inputs = getattr(run, "inputs", None)
    known = {item.dataset.digest for item in (inputs.dataset_inputs if inputs else ())}
    entries = state.used_entries()[: recording.max_datasets]
    modified = {entry.path for entry in entries if is_modified(state, entry.path)}
    warn(recording.parts, [_NOT_LOGGED.format(path) for path in sorted(modified)])
    unmodified = [entry for entry in entries if entry.path not in modified]
    log_datasets(client, recording.run_id, state, unmodified, known)


def _log_metrics(client: Any, recording: Recording, state: DataState, run: Any) -> None:
    paths = _find_written(recording, state, recording.pipeline.metrics)
    metrics, problems = read_metrics(state.project, paths)
    warn(recording.parts, problems)
    log_metrics(client, recording.run_id, metrics, run.data.metrics)


def _find_written(recording: Recording, state: DataState, paths: Sequence[str]) -> list[str]:
    return find_written(state.project, paths, recording.stamps, recording.start_ns)
