"""Reading what a report says: of one run, or of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.errors import MlflowDvcError, ReportError
from mlflow_dvc_plugin.lineage.retention.check import CheckedRun, judge_runs
from mlflow_dvc_plugin.lineage.workspace import read_state
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.reporting.graph.reader import Lineage, read_lineage
from mlflow_dvc_plugin.reporting.page.data_states import Metric
from mlflow_dvc_plugin.reporting.page.run_report import RunReport
from mlflow_dvc_plugin.reporting.page.runs_report import RunsReport
from mlflow_dvc_plugin.reporting.recorded_runs import RecordedRun, read_runs
from mlflow_dvc_plugin.tracking import Run, tag_clause
from mlflow_dvc_plugin.tracking.search import find_experiment_name, find_run_before


def read_report(
    texts: Sequence[str],
    *,
    experiments: Sequence[str],
    metric: Metric | None,
    tracking_uri: str | None,
    progress: Progress,
) -> tuple[RunReport | RunsReport, Lineage]:
    """The report of one run, of several, or of experiments.

    Args:
        texts: runs and models, as :func:`~mlflow_dvc_plugin.tracking.find_run` takes them.
        experiments: names of experiments.
        metric: what runs are compared by.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        progress: counts runs and files.

    Raises:
        MlflowDvcError: the runs cannot be read, or there are none.
    """
    found = read_lineage(
        texts, experiments=experiments, tracking_uri=tracking_uri, progress=progress
    )
    if not found.recorded:
        raise ReportError("There are no runs to report on.")
    if len(set(texts)) == 1:
        return _read_run(found, progress), found
    title = ", ".join(experiments)
    runs = found.recorded
    if texts:
        runs, title = runs[: len(set(texts))], f"{len(set(texts))} runs"
    elif not experiments:
        title = "Runs on the data in the workspace"
    return RunsReport(title, runs, found.models, metric, found.graph.remarks), found


def read_previous(run: Run, project: str | None) -> RecordedRun | None:
    """The run with data that started before a run in the same experiment, and the same stage."""
    clauses = [tag_clause("dvc.data_hash")]
    stage = run.tags.get("dvc.stage")
    if stage is not None:
        clauses.append(tag_clause("dvc.stage", stage))
    before = find_run_before(run, clauses)
    return next(read_runs([before], project)) if before is not None else None


def _read_run(found: Lineage, progress: Progress) -> RunReport:
    recorded, root = found.recorded[0], find_project()
    return RunReport(
        recorded,
        found.graph,
        find_experiment_name(recorded.run),
        read_previous(recorded.run, root),
        read_state(root) if root else None,
        _check(recorded, root, progress) if root else None,
    )


def _check(recorded: RecordedRun, root: str, progress: Progress) -> CheckedRun | None:
    state = recorded.state
    outs = state.entries if state is not None else recorded.reason
    checked: Iterable[CheckedRun] = judge_runs(root, [(recorded.run, outs)], progress)
    try:
        return next(iter(checked))
    except MlflowDvcError as err:
        return CheckedRun(recorded.run, None, str(err).rstrip("."))
