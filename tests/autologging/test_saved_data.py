"""Runs of MLflow that save their data, and data that changes while they run."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin import autolog
from mlflow_dvc_plugin.capturing.workspace.status import forget_folder_verdicts
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from tests.history import mlflow_dvc
from tests.project import Project

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def tracking(project: Project, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow.set_tracking_uri(store)
    mlflow.create_experiment("saving", artifact_location=(tmp_path / "art").as_uri())
    mlflow.set_experiment("saving")
    project.add("data/a.csv", "x\n1\n")
    project.write("images/1", "one")
    project.add("images")
    project.commit()
    monkeypatch.setenv("MLFLOW_DVC_SAVE", "1")
    autolog()


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
    restore(run.info.run_id, force=True)
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
        restore(run_id, force=True)
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


@pytest.mark.parametrize("save", ["0", "1"])
def test_data_that_changes_during_the_run_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, save: str
) -> None:
    monkeypatch.setenv("MLFLOW_DVC_SAVE", save)
    if save == "1":
        project.write("images/1", "edited before the run")
    with mlflow.start_run() as run:
        project.write("images/1", "changed by somebody")
        (project.path / "data/a.csv").unlink()
        project.write("not tracked", "x")
    tags = tags_of(run)
    assert tags["dvc.status"] == ("saved" if save == "1" else "clean")
    assert tags["dvc.status_end"] == "modified"
    assert tags["dvc.changed"] == "data/a.csv,images"
    assert "The data changed while the run was running: data/a.csv, images." in caplog.text


@pytest.mark.parametrize("save", ["0", "1"])
def test_data_that_stays_as_it_is_has_the_same_status_at_the_end(
    project: Project, monkeypatch: pytest.MonkeyPatch, save: str
) -> None:
    monkeypatch.setenv("MLFLOW_DVC_SAVE", save)
    with mlflow.start_run() as run:
        pass
    assert tags_of(run)["dvc.status_end"] == "clean"
    project.write("images/2", "two")
    forget_folder_verdicts()  # as after five seconds
    with mlflow.start_run() as run:
        pass
    tags = tags_of(run)
    assert tags["dvc.status_end"] == tags["dvc.status"] == ("saved" if save == "1" else "modified")
    assert "dvc.changed" not in tags


def test_what_the_stage_itself_makes_has_not_changed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(
        "dvc.yaml",
        "stages:\n  train:\n    cmd: cp data/a.csv model\n    deps: [data/a.csv]\n"
        "    outs: [model]\n",
    )
    with project.opened() as repo:
        repo.reproduce()
    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setenv("DVC_ROOT", str(project.path))
    with mlflow.start_run() as run:
        project.write("model", "new")
        project.write("images/1", "not an input")
    assert tags_of(run)["dvc.status_end"] == "clean"
    with mlflow.start_run() as run:
        project.write("data/a.csv", "x\n9\n")
    tags = tags_of(run)
    assert (tags["dvc.status_end"], tags["dvc.changed"]) == ("modified", "data/a.csv")


def test_a_run_whose_data_changed_looks_clean_nowhere(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with mlflow.start_run() as good:
        mlflow.log_metric("acc", 0.5)
    with mlflow.start_run() as run:
        mlflow.log_metric("acc", 0.9)
        project.write("images/1", "changed")
    project.write("images/1", "one")
    run_id = run.info.run_id
    assert "While the run was running, data changed: images." in mlflow_dvc("show", run_id).stdout
    (version,) = mlflow_dvc("log", "images", "--metric", "acc", "--json").json
    assert (version["best"], version["changed"]) == (0.5, [run_id])
    assert set(version["run_ids"]) == {run_id, good.info.run_id}
    (version,) = mlflow_dvc("log", "data/a.csv", "--metric", "acc", "--json").json
    assert version["best"] == 0.9
    found = {each["run_id"]: each for each in mlflow_dvc("find", "--json").json}
    assert found[run_id]["changed"] == ["images"]
    assert "changed" not in found[good.info.run_id]
    assert "Runs during which this data changed, and which" in mlflow_dvc("find").stdout
    (checked,) = mlflow_dvc("check", run_id, "--json").json
    assert (checked["restorable"], checked["changed"]) == (True, ["images"])
    assert "it changed while the run was running: images" in mlflow_dvc("check", run_id).stdout


def test_link_tells_that_inputs_changed(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_DVC_AUTOLOG", "1")
    project.write(
        "train.py",
        "import mlflow, pathlib\n"
        f"mlflow.set_tracking_uri({store!r})\n"
        "mlflow.set_experiment('saving')\n"
        "with mlflow.start_run():\n"
        "    text = pathlib.Path('data/a.csv').read_text()\n"
        "    pathlib.Path('data/a.csv').write_text('something else')\n"
        "pathlib.Path('data/a.csv').write_text(text)\n"
        "pathlib.Path('model').write_text('model')\n",
    )
    project.write(
        "dvc.yaml",
        f"stages:\n  train:\n    cmd: {sys.executable} train.py\n"
        "    deps: [data/a.csv]\n    outs: [model]\n",
    )
    with project.opened() as repo:
        repo.reproduce()
    done = mlflow_dvc("link", "--json")
    (linked,) = done.json
    assert linked["changed"] == ["data/a.csv"]
    assert "its inputs changed: data/a.csv." in done.stderr
