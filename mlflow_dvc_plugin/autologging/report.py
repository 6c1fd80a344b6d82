"""The report of a run among its artifacts: ``dvc/report.html``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlflow_dvc_plugin.autologging.artifacts import upload_files
from mlflow_dvc_plugin.reporting.graph.builder import build_graph
from mlflow_dvc_plugin.reporting.page.html import render
from mlflow_dvc_plugin.reporting.page.reader import read_previous
from mlflow_dvc_plugin.reporting.page.run_report import RunReport
from mlflow_dvc_plugin.reporting.recorded_runs import RecordedRun, find_steps
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.tracking.models import Registry
from mlflow_dvc_plugin.tracking.run import to_run
from mlflow_dvc_plugin.tracking.search import find_experiment_name

REPORT_FILE = "report.html"


def upload_report(client: Any, run_id: str, state: DataState) -> None:
    """Upload the report of a run that ends; whether it can be restored is not looked at."""
    found = client.get_run(run_id)
    # It is still running, but no reader will see it before it has ended.
    run = replace(to_run(found, client), status="", end_time=None)
    recorded = RecordedRun(run, state, "", tuple(find_steps(state.entries, state.metafiles)))
    models = Registry(client.tracking_uri).list_models([run_id])
    report = RunReport(
        recorded,
        build_graph([recorded], models),
        find_experiment_name(run),
        read_previous(run, state.project or None),
    )
    upload_files(client, found, state, {REPORT_FILE: render(report).encode()})
