"""The report of a run among its artifacts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.autologging import recording
from tests.project import Project
from tests.reporting.test_page import check_harmless


@pytest.fixture(autouse=True)
def tracked(project: Project, store: str) -> Iterator[None]:
    mlflow.set_tracking_uri(store)
    project.add("data.csv", "1")
    yield
    mlflow_dvc.autolog(disable=True)
    recording._failed.clear()


def read_report(run_id: str, folder: Path) -> str:
    return Path(
        MlflowClient().download_artifacts(run_id, "dvc/report.html", str(folder))
    ).read_text()


def has_report(run_id: str) -> bool:
    return "dvc/report.html" in [item.path for item in MlflowClient().list_artifacts(run_id, "dvc")]


def test_a_run_has_its_report_at_its_end(project: Project, tmp_path: Path) -> None:
    mlflow_dvc.autolog(log_report=True)
    with mlflow.start_run(run_name="first"):
        pass
    project.add("data.csv", "2")
    with mlflow.start_run() as run:
        mlflow.log_metric("accuracy", 0.75)
        assert not has_report(run.info.run_id)
    page = check_harmless(read_report(run.info.run_id, tmp_path))
    text = " ".join(page.text.split())
    tags = MlflowClient().get_run(run.info.run_id).data.tags
    for words in (
        "clean The workspace held exactly this data",
        "accuracy 0.75",
        "Since the run before it: first",
        f"→ {tags['dvc.data.data.csv'][:8]} {tags['dvc.data.data.csv']}",
        f"mlflow-dvc check {run.info.run_id}",
    ):
        assert words in text
    assert "running" not in text


def test_the_report_is_logged_only_if_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        pass
    assert not has_report(run.info.run_id)
    assert mlflow_dvc.log_state(run.info.run_id, log_report=True) is not None
    assert read_report(run.info.run_id, tmp_path)
    mlflow_dvc.autolog(disable=True)
    monkeypatch.setattr("mlflow.utils.autologging_utils.AUTOLOGGING_INTEGRATIONS", {"dvc": {}})
    for parts, expected in (("1", False), ("report,params", True)):
        monkeypatch.setenv("MLFLOW_DVC_AUTOLOG", parts)
        with mlflow.start_run() as run:
            pass
        assert has_report(run.info.run_id) is expected


def test_a_report_that_cannot_be_made_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    for name in [name for name in sys.modules if "reporting.page.html" in name]:
        sys.modules[name]._open_templates.cache_clear()
    mlflow_dvc.autolog(log_report=True)
    with mlflow.start_run() as run:
        pass
    assert MlflowClient().get_run(run.info.run_id).info.status == "FINISHED"
    assert "did not log report: A report needs Jinja2" in caplog.text
