"""Models whose bytes DVC has: the registry refers to them, and a restore brings them."""

from __future__ import annotations

import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.errors import RestoreError
from tests.history import History
from tests.history import mlflow_dvc as command
from tests.project import Project

TRAIN = """\
import mlflow

with mlflow.start_run():
    with open("data.csv") as data, open("model.pkl", "w") as model:
        model.write("model of " + data.read())
"""
PIPELINE = f"""\
stages:
  train:
    cmd: {sys.executable} train.py
    deps: [train.py, data.csv]
    outs: [model.pkl]
"""


@pytest.fixture(autouse=True)
def registry(history: History) -> None:
    mlflow.set_tracking_uri(history.uri)


@pytest.fixture
def data(project: Project) -> Project:
    """A project with a folder that is a model, as a training script without stages leaves it."""
    project.add("data.csv", "1")
    project.write("net/weights.bin", "old weights")
    project.write("net/config.json", "{}")
    project.add("net")
    project.commit()
    project.push()
    return project


def files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


NET = {"net/weights.bin": "old weights", "net/config.json": "{}"}


@pytest.mark.slow
def test_the_output_of_a_stage_is_registered_and_restored(
    project: Project, history: History, tmp_path: Path
) -> None:
    project.write("train.py", TRAIN)
    project.write("dvc.yaml", PIPELINE)
    for content in ("1", "2"):
        project.add("data.csv", content)
        project.dvc("repro", MLFLOW_TRACKING_URI=history.uri)
        project.commit()
        project.push()
        assert command("link", "model.pkl", "--model", "net").code == 0
    client = MlflowClient()
    one, two = (client.get_model_version("net", number) for number in ("1", "2"))
    assert one.run_id != two.run_id
    tags = history.tags(one.run_id)
    assert one.tags["dvc.data_hash"] == tags["dvc.data_hash"]
    assert one.tags["dvc.model.model.pkl"] == tags["dvc.out.model.pkl"]
    again = command("link", "model.pkl", "--model", "net", "--json").json
    assert (again["uri"], again["changed"]) == ("models:/net/2", False)
    project.lose("model.pkl", "data.csv")
    restored = command("restore", "models:/net/1", "--model", "--json").json
    assert sorted(restored["added"]) == ["data.csv", "model.pkl"]
    assert (project.path / "model.pkl").read_text() == "model of 1"
    assert (project.path / "data.csv").read_text() == "1"
    assert project.data_status() == {}
    assert "up to date" in project.dvc("status", "train")
    command("restore", "models:/net/2", "model.pkl", "--model", "--out", str(tmp_path / "o"))
    assert files(tmp_path / "o") == {"model.pkl": "model of 2"}
    assert (project.path / "model.pkl").read_text() == "model of 1"


def test_a_folder_of_a_run_that_the_user_names(
    data: Project, history: History, tmp_path: Path
) -> None:
    run_id = history.run()
    refused = command("link", "net", "--model", "net").error
    assert "not the output of a stage" in refused
    done = command("link", "net", "--model", "net", "--run", run_id)
    assert done.stdout == (
        f"Registered net as models:/net/1, from run {run_id}. Its bytes stay in DVC.\n"
    )
    (again,) = [command("link", "net", "--model", "net", "--run", run_id).stdout]
    assert "already" in again
    (data.path / "data.csv").unlink()
    data.lose("net")
    mlflow_dvc.restore("models:/net/1", ["net"], out=tmp_path / "out", model=True)
    assert files(tmp_path / "out") == NET
    assert command("show", "models:/net/1", "--json").json["model"]["version"] == "1"
    document = command("check", "--model", "net", "--json").json
    assert [entry["path"] for entry in document[0]["entries"]].count("net") >= 1
    assert document[0]["restorable"] is True


@pytest.mark.slow
def test_a_server_takes_a_model_that_dvc_holds(
    data: Project, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    mlflow.set_tracking_uri(server)
    with mlflow.start_run() as run:
        pass
    done = command("link", "net", "--model", "served", "--run", run.info.run_id)
    assert done.code == 0, done.stderr
    MlflowClient().set_registered_model_alias("served", "champion", "1")
    data.lose("net")
    out = str(tmp_path / "out")
    assert command("restore", "models:/served@champion", "net", "--model", "--out", out).code == 0
    assert files(tmp_path / "out") == NET
    assert command("check", "--model", "served", "--alias", "champion").code == 0
    assert command("link", "--models", "--json").json[0]["changed"] is False
    found = command("find", "--same-as", run.info.run_id, "--models", "--json").json
    assert "models:/served/1" in [model["uri"] for model in found[0]["models"]]


def test_the_newest_model_is_restored_over_another_and_undone(
    data: Project, history: History
) -> None:
    run_id = history.run()
    data.write("net/weights.bin", "new weights")
    data.add("net")
    command("link", "net", "--model", "net", "--run", run_id)
    data.push()
    data.write("net/weights.bin", "something else")
    data.add("net")
    data.commit()
    command("restore", "models:/net/1", "--model")
    assert (data.path / "net/weights.bin").read_text() == "new weights"
    assert data.data_status() == {}
    command("restore", "models:/net/1")
    assert (data.path / "net/weights.bin").read_text() == "old weights"
    command("undo")
    assert (data.path / "net/weights.bin").read_text() == "new weights"


def test_a_model_whose_bytes_are_lost_fails_the_check(data: Project, history: History) -> None:
    run_id = history.run()
    data.write("net/weights.bin", "never pushed")
    data.add("net")
    command("link", "net", "--model", "net", "--run", run_id)
    assert command("check", "--model", "net").code == 0
    data.lose("net")
    checked = command("check", "--model", "net", "--json")
    assert checked.code == 1
    assert "neither in the cache nor in the remote: net" in checked.json[0]["reason"]
    assert command("check", run_id).code == 0, "the run's data is there"
    assert "DVC cache lacks" in command("restore", "models:/net/1", "--model").error


def test_nothing_is_registered_in_a_dry_run_or_by_mistake(data: Project, history: History) -> None:
    run_id = history.run()
    options = ("--model", "net", "--run", run_id)
    assert "Would register net" in command("link", "net", *options, "--dry-run").stdout
    for path in ("net/weights.bin", "nothing.bin", "."):
        assert path.partition("/")[0] in command("link", path, *options).error
    assert MlflowClient().search_registered_models() == []
    assert command("link", "net").code == 2
    assert command("link", "--model", "net").code == 2
    assert command("link", "--run", run_id).code == 2
    assert command("link", "net", "--model", "net", "--models").code == 2
    data.write("net.dvc", "outs:\n- path: net\n")
    assert "no hash for net" in command("link", "net", *options).error


@pytest.mark.usefixtures("data")
def test_a_model_that_mlflow_holds_is_not_dvcs(history: History) -> None:
    run_id = history.run()
    client = MlflowClient()
    client.create_registered_model("net")
    client.create_model_version("net", f"runs:/{run_id}/model", run_id)
    assert "MLflow has its bytes" in command("restore", "models:/net/1", "--model").error
    assert "needs a model" in command("restore", run_id, "--model").error
    assert command("restore", "models:/net/1").code == 0
    for hostile in ("", "1:1:5:abcde", "x" * 100):
        client.set_model_version_tag("net", "1", "dvc.model_manifest", hostile)
        assert "cannot be used" in command("restore", "models:/net/1", "--model").error
        assert command("check", "--model", "net").code == 1


@pytest.mark.parametrize("path", ["../escaped", ".git/hooks/post-commit", "net/../../escaped"])
def test_a_hostile_path_of_a_model_is_refused(data: Project, history: History, path: str) -> None:
    from mlflow_dvc_plugin.state.manifest import Manifest, dump

    run_id = history.run()
    command("link", "net", "--model", "net", "--run", run_id)
    state = mlflow_dvc.capture()
    assert state is not None
    (out,) = [e for e in state.entries if e.path == "net"]
    parts = dump(Manifest((out._replace(path=path, metafile="x.dvc"),)))
    MlflowClient().set_model_version_tag("net", "1", "dvc.model_manifest", parts[0])
    with pytest.raises(RestoreError):
        mlflow_dvc.restore("models:/net/1", model=True)
    assert not (data.path.parent / "escaped").exists()


@pytest.mark.skipif(not hasattr(mlflow, "create_external_model"), reason="not in MLflow 2")
@pytest.mark.usefixtures("data")
def test_mlflow_shows_an_external_model_of_the_run_without_a_copy(history: History) -> None:
    run_id = history.run()
    command("link", "net", "--model", "my net.v%", "--run", run_id)
    client = MlflowClient()
    (version,) = client.search_model_versions("")
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert (version.run_id, model.source_run_id) == (run_id, run_id)
    assert model.tags["dvc.data_hash"] == version.tags["dvc.data_hash"]
    assert [out.model_id for out in client.get_run(run_id).outputs.model_outputs] == [
        model.model_id
    ]
    names = [item.path for item in client.list_logged_model_artifacts(model.model_id)]
    assert names == ["MLmodel"]
    with pytest.raises(mlflow.exceptions.MlflowException, match="artifacts are external"):
        mlflow.pyfunc.load_model(model.model_uri)
