"""``autolog()`` and ``log_state()``: the autologging integration ``dvc``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.utils.autologging_utils import autologging_integration

from mlflow_dvc_plugin.autologging import hooks
from mlflow_dvc_plugin.autologging.parts import NAME, Parts

if TYPE_CHECKING:
    from mlflow_dvc_plugin.state import DataState

__all__ = ["autolog", "log_state"]


@autologging_integration(NAME)  # type: ignore[untyped-decorator, unused-ignore]
def autolog(
    *,
    log_datasets: bool = True,
    log_artifacts: bool = True,
    log_params: bool = True,
    log_metrics: bool = True,
    log_plots: bool = True,
    log_models: bool = True,
    log_report: bool = False,
    disable: bool = False,
    silent: bool = False,
) -> None:
    """Log to each run that starts from now on what DVC knows about it.

    This holds for runs of the fluent API and of ``MlflowClient``, for nested runs and for
    resumed runs. A run to which MLflow gave no DVC tags gets them as well.

    Args:
        log_datasets: log the data inputs as dataset inputs, at the run's end.
        log_artifacts: log the state, metafiles, params files and environment
            files as artifacts below ``dvc/``, at the run's start. A nested run
            does not repeat files that its parent has.
        log_params: log the stage's parameters, or all of ``params.yaml`` outside
            a stage, with the values that they had at the run's start.
        log_metrics: log the numbers in DVC's metrics files that were written
            during the run, at its end.
        log_plots: log DVC's plots files that were written during the run as
            artifacts below ``dvc/``, at its end.
        log_models: give each version of a registered model, when it is registered, the
            data tags of the run that the model comes from.
        log_report: log a page with the run's data, what changed, and what its models rest
            on, as ``dvc/report.html``, at its end.
        disable: log nothing from now on.
        silent: suppress all warnings.
    """
    # MLflow stores the arguments, where `select_parts` reads them. It does not call this
    # function with `disable`.
    del log_datasets, log_artifacts, log_params, log_metrics, log_plots, log_models
    del log_report, disable, silent
    hooks.install()


def log_state(
    run_id: str | None = None,
    *,
    log_datasets: bool = True,
    log_artifacts: bool = True,
    log_params: bool = True,
    log_metrics: bool = True,
    log_plots: bool = True,
    log_report: bool = False,
    silent: bool = False,
) -> DataState | None:
    """Log to one run, now, what DVC knows about it. Call it after your own logging.

    Args:
        run_id: the run's id or a prefix of it, ``runs:/ID`` or a model's URI; None
            for the active run.
        log_datasets: see :func:`autolog`, also for the other parts.
        log_artifacts: log files below ``dvc/``.
        log_params: log parameters.
        log_metrics: log the numbers in DVC's metrics files.
        log_plots: log DVC's plots files.
        log_report: log the page ``dvc/report.html``.
        silent: suppress all warnings.

    Returns:
        The data state that was logged. None outside a project, if the state cannot
        be read, or if the run was recorded on another data state.

    Raises:
        RunNotFoundError: there is no such run, or no run is active.
    """
    parts = Parts(
        log_datasets,
        log_artifacts,
        log_params,
        log_metrics,
        log_plots,
        report=log_report,
        silent=silent,
    )
    return _log_parts(run_id, parts)


def _log_parts(run_id: str | None, parts: Parts) -> DataState | None:
    import mlflow

    from mlflow_dvc_plugin.autologging.run_end import finish_recording
    from mlflow_dvc_plugin.autologging.run_start import start_recording
    from mlflow_dvc_plugin.errors import RunNotFoundError
    from mlflow_dvc_plugin.tracking import find_run

    if not run_id:
        active = mlflow.active_run()
        if active is None:
            raise RunNotFoundError("No run is active. Start one, or pass its run_id.")
        run_id = active.info.run_id
    client = mlflow.MlflowClient()
    run = client.get_run(find_run(run_id).run_id)
    recording = start_recording(client, run, parts, created=False)
    if recording is None:
        return None
    # The stamps of files were read just now. They say which files the run wrote only if they
    # were read when it started.
    started = hooks.find_recording(run.info.run_id)
    recording.stamps = started.stamps if started is not None else None
    finish_recording(client, recording)
    return recording.state
