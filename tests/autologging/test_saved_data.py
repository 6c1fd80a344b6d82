"""Runs of MLflow that save their data, and data that changes while they run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.autologging import hooks
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from tests.project import Project


@pytest.fixture(autouse=True)
def tracking(
    project: Project, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    mlflow.set_tracking_uri(store)
    mlflow.create_experiment("saving", artifact_location=(tmp_path / "art").as_uri())
    mlflow.set_experiment("saving")
    project.add("data/a.csv", "x\n1\n")
    project.write("images/1", "one")
    project.add("images")
    project.commit()
    monkeypatch.setenv("MLFLOW_DVC_SAVE", "1")
    monkeypatch.setenv("MLFLOW_DVC_AUTOLOG", "1")
    yield
    hooks._open.clear()


def tags_of(run: mlflow.ActiveRun) -> dict[str, str]:
    return dict(MlflowClient().get_run(run.info.run_id).data.tags)


def test_a_run_of_mlflow_saves_logs_and_restores_what_was_there(project: Project) -> None:
    project.write("data/a.csv", "x\n2\n")
    project.write("images/2", "two")
    with mlflow.start_run() as run:
        pass
    tags = tags_of(run)
    assert (tags["dvc.status"], tags["dvc.modified"]) == ("saved", "data/a.csv,images")
    value = hashlib.md5(b"x\n2\n").hexdigest()
    assert tags["dvc.data.data/a.csv"] == value
    logged = MlflowClient().get_run(run.info.run_id).inputs.dataset_inputs
    assert value in {item.dataset.digest for item in logged}
    state = load_state(run.info.run_id)
    assert (state.status, state.source) == ("saved", "manifest")
    project.write("data/a.csv", "x\n3\n")
    mlflow_dvc.restore(run.info.run_id, force=True)
    assert (project.path / "data/a.csv").read_text() == "x\n2\n"
    assert (project.path / "images/2").read_text() == "two"
    dataset = next(item.dataset for item in logged if item.dataset.digest == value)
    path = mlflow.data.get_source(dataset).load()
    assert Path(path).read_text() == "x\n2\n"


def test_each_of_several_runs_has_the_data_of_its_own_start(project: Project) -> None:
    """Also folders, and also within the seconds in which a verdict on one would stand."""
    found = []
    for number in range(3):
        project.write("images/1", f"version {number}")
        with mlflow.start_run(run_name=str(number)) as run, mlflow.start_run(nested=True) as inner:
            pass
        assert tags_of(run)["dvc.data_hash"] == tags_of(inner)["dvc.data_hash"]
        found.append(run.info.run_id)
    for number, run_id in enumerate(found):
        mlflow_dvc.restore(run_id, force=True)
        assert (project.path / "images/1").read_text() == f"version {number}"


def test_a_resumed_run_gets_what_it_lacks_only_on_the_same_data(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.write("images/1", "other")
    with mlflow.start_run() as run:
        pass
    with mlflow.start_run(run_id=run.info.run_id):
        pass
    assert "recorded on other data" not in caplog.text
    project.write("images/1", "third")
    with mlflow.start_run(run_id=run.info.run_id):
        pass
    assert "recorded on other data" in caplog.text
