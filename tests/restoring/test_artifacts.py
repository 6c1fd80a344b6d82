"""A state read back from the files that a run keeps."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.errors import NoRecordedStateError
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import state_file
from tests.project import Project


@pytest.fixture(scope="module")
def store(module_store: str) -> str:
    return module_store


@pytest.fixture(autouse=True)
def tracking(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    mlflow.set_tracking_uri(store)
    name = request.node.name
    mlflow.create_experiment(name, artifact_location=(tmp_path / "art").as_uri())
    mlflow.set_experiment(name)


def without_manifest(run_id: str) -> str:
    client = MlflowClient()
    for key in list(client.get_run(run_id).data.tags):
        if key.startswith("dvc.manifest") or key == "dvc.git_commit":
            client.delete_tag(run_id, key)
    return run_id


def test_a_run_without_manifest_is_restored_from_its_artifacts(
    project: Project, store: str
) -> None:
    project.add("data/a.csv", "1")
    project.write("b/x", "2")
    project.add("b")
    with mlflow.start_run() as run:
        state = mlflow_dvc.log_state()
    assert state is not None
    before = (project.path / "b.dvc").read_bytes()
    project.write("b/x", "3")
    project.add("b")
    run_id = without_manifest(run.info.run_id)
    found = load_state(run_id, store)
    assert found.source == "artifacts"
    assert found.entries == state.entries
    result = restore(run_id, tracking_uri=store)
    assert result.source == "artifacts"
    assert (project.path / "b/x").read_text() == "2"
    assert (project.path / "b.dvc").read_bytes() == before


def test_a_damaged_manifest_is_made_up_for(project: Project, store: str) -> None:
    project.add("a", "1")
    with mlflow.start_run() as run:
        mlflow_dvc.log_state()
    MlflowClient().set_tag(run.info.run_id, "dvc.manifest", "1:1:5:abcde")
    assert load_state(run.info.run_id, store).source == "artifacts"


def test_a_nested_run_has_its_parents_files(project: Project, store: str) -> None:
    project.add("a", "1")
    mlflow_dvc.autolog()
    with mlflow.start_run(), mlflow.start_run(nested=True) as child:
        pass
    mlflow_dvc.autolog(disable=True)
    assert load_state(without_manifest(child.info.run_id), store).source == "artifacts"


def test_bare_metafiles_will_do(project: Project, store: str) -> None:
    project.add("data/a.csv", "1")
    with mlflow.start_run() as run:
        mlflow.log_artifact("data/a.csv.dvc", "dvc/data")
    found = load_state(without_manifest(run.info.run_id), store)
    assert found.source == "artifacts"
    assert [e.path for e in found.entries] == ["data/a.csv"]


def test_artifacts_of_another_state_are_not_believed(project: Project, store: str) -> None:
    project.add("a", "1")
    with mlflow.start_run() as run:
        pass
    project.add("a", "2")
    other = mlflow_dvc.capture()
    assert other is not None
    MlflowClient().log_text(run.info.run_id, state_file.dumps(other), "dvc/state.json")
    with pytest.raises(NoRecordedStateError):
        load_state(without_manifest(run.info.run_id), store)


def test_a_store_that_lies_about_sizes_fills_no_disk(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("data/a.csv", "1")
    with mlflow.start_run() as run:
        mlflow.log_artifact("data/a.csv.dvc", "dvc/data")
        mlflow.log_text("x: 1\n" * 100, "dvc/data/params.yaml")
    run_id = without_manifest(run.info.run_id)
    monkeypatch.setattr(state_file, "MAX_BYTES", 400)
    monkeypatch.setattr(mlflow.entities.FileInfo, "file_size", property(lambda _: 0))
    with pytest.raises(NoRecordedStateError):
        load_state(run_id, store)
    monkeypatch.setattr(state_file, "MAX_BYTES", 4000)
    assert load_state(run_id, store).source == "artifacts"
