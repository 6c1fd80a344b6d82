"""What autologging does when a run ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlflow_dvc_plugin.autologging import batches
from mlflow_dvc_plugin.autologging.artifacts import upload_plots
from mlflow_dvc_plugin.autologging.dataset_inputs import (
    find_only_dataset,
    list_inputs,
    log_datasets,
)
from mlflow_dvc_plugin.autologging.recording import (
    Recording,
    guard,
    has_upload_failed,
    read_stamps,
    warn,
)
from mlflow_dvc_plugin.autologging.structured_files import read_metrics
from mlflow_dvc_plugin.errors import join_some
from mlflow_dvc_plugin.state.tags import build_end_tags

_SHOWN = 3


def log_end_status(client: Any, recording: Recording) -> None:
    """Tag a run that ends with what became of its data while it ran."""
    if recording.state is None or recording.data is None:
        return
    with guard(recording.parts, "the status of the data at the end"):
        status, changed = recording.data.look_again()
        batches.log_tags(client, recording.run_id, build_end_tags(status, changed))
        if changed:
            shown = join_some(changed, _SHOWN)
            warn(recording.parts, [f"The data changed while the run was running: {shown}."])


def finish_recording(client: Any, recording: Recording) -> None:
    """Log the run's data inputs, params, metrics and plots that the user did not log."""
    run_id, state, parts = recording.run_id, recording.state, recording.parts
    if state is None:
        return
    with guard(parts, "datasets, params, metrics and plots"):
        run = client.get_run(run_id)
        inputs = list_inputs(run)
        if parts.datasets:
            with guard(parts, "datasets"):
                inputs += log_datasets(client, recording, state, inputs)
        if parts.params:
            with guard(parts, "params"):
                warn(parts, batches.log_params(client, run_id, recording.params, run.data.params))
        if parts.metrics:
            with guard(parts, "metrics"):
                written = _find_written(recording, state.project, recording.pipeline.metrics)
                metrics, problems = read_metrics(state.project, written)
                warn(parts, problems)
                subject = _find_subject(run, find_only_dataset(inputs, state))
                batches.log_metrics(client, run_id, metrics, run.data.metrics, subject)
        if parts.plots and not has_upload_failed():
            with guard(parts, "plots"):
                written = _find_written(recording, state.project, recording.pipeline.plots)
                warn(parts, upload_plots(client, run_id, state.project, written))
        if parts.report and not has_upload_failed():
            with guard(parts, "report"):
                # Most runs do without, and it imports much.
                from mlflow_dvc_plugin.autologging.report import upload_report

                upload_report(client, run_id, state)


def _find_subject(run: Any, dataset: Any) -> dict[str, str]:
    """The model and the dataset that a run's metrics are for, where it has exactly one."""
    if not hasattr(run, "outputs"):
        return {}  # MLflow 2 does not record this.
    models = {each.model_id for each in (run.outputs.model_outputs if run.outputs else ())}
    subject = {"model_id": models.pop()} if len(models) == 1 else {}
    if dataset is not None:
        subject |= {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
    return subject


def _find_written(recording: Recording, project: str, paths: Sequence[str]) -> list[str]:
    """The files, also those in folders, that were written during the run."""
    now, before = read_stamps(project, paths), recording.stamps
    if before is not None:
        return [path for path, stamp in now.items() if before.get(path) != stamp]
    return [path for path, (mtime_ns, *_) in now.items() if mtime_ns >= recording.start_ns]
