"""The public functions."""

from __future__ import annotations

from typing import Any

from mlflow.utils.autologging_utils import autologging_integration

from mlflow_dvc_plugin.autologging import hooks
from mlflow_dvc_plugin.autologging.selection import NAME, chosen

__all__ = ["autolog", "log_state"]


@autologging_integration(NAME)  # type: ignore[untyped-decorator, unused-ignore]
def autolog(
    *,
    log_datasets: bool = True,
    log_artifacts: bool = True,
    log_params: bool = True,
    log_metrics: bool = True,
    log_plots: bool = True,
    disable: bool = False,
    silent: bool = False,
) -> None:
    """Log what DVC knows to each run that begins from now on.

    Runs of the fluent API, of ``MlflowClient`` and of frameworks that use it,
    nested and resumed ones. Runs that MLflow gave no DVC tags get them, too.

    Args:
        log_datasets: the data inputs, as dataset inputs; at the run's end.
        log_artifacts: the state, metafiles, params files and environment
            files, as artifacts below ``dvc/``; at the run's start. A nested run
            whose parent has the same does not get them again.
        log_params: the stage's parameters, outside a stage all of
            ``params.yaml``, with the values that they had at the run's start.
        log_metrics: the numbers in DVC's metrics files that were written
            during the run; at its end.
        log_plots: DVC's plots files that were written during the run, as
            artifacts below ``dvc/``; at its end.
        disable: log nothing from now on.
        silent: warn of nothing.
    """
    # MLflow keeps the arguments; `disable` never gets here.
    del log_datasets, log_artifacts, log_params, log_metrics, log_plots, disable, silent
    hooks.install(chosen)


def log_state(
    run_id: str | None = None,
    *,
    log_datasets: bool = True,
    log_artifacts: bool = True,
    log_params: bool = True,
    log_metrics: bool = True,
    log_plots: bool = True,
    silent: bool = False,
) -> Any:
    """Log what DVC knows to one run, now: best after the user's own logging.

    Args:
        run_id: the run's id or a prefix of it, ``runs:/ID`` or a model's URI; None for the
            active one.
        log_datasets: see :func:`autolog`, as for the others.
        log_artifacts: files below ``dvc/``.
        log_params: parameters.
        log_metrics: numbers in DVC's metrics files.
        log_plots: DVC's plots files.
        silent: warn of nothing.

    Returns:
        The logged :class:`~mlflow_dvc_plugin.state.DataState`; None outside a
        project, or if it cannot be read.

    Raises:
        RunNotFoundError: there is no such run, or none is active.
    """
    import mlflow
    from mlflow.tracking import MlflowClient

    from mlflow_dvc_plugin.autologging.recording import Parts, begin, end
    from mlflow_dvc_plugin.errors import RunNotFoundError
    from mlflow_dvc_plugin.tracking import find_run

    if run_id is None:
        active = mlflow.active_run()
        if active is None:
            raise RunNotFoundError("No run is active: start one, or give its run_id.")
        run_id = active.info.run_id
    else:
        run_id = find_run(run_id).run_id
    client = MlflowClient()
    run = client.get_run(run_id)
    parts = Parts(log_datasets, log_artifacts, log_params, log_metrics, log_plots, silent)
    begun = hooks.recording_of(run_id)
    recording = begin(client, run, parts, fresh=False)
    if recording is None:
        return None
    # Stamps of files from now tell nothing of a run that began before.
    recording.before = begun.before if begun is not None else None
    end(client, recording)
    return recording.state
