"""What autologging adds to runs, and that it never stands in the user's way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.autologging import hooks
from mlflow_dvc_plugin.autologging.artifacts import collect_files
from mlflow_dvc_plugin.autologging.dataset_inputs import is_modified
from mlflow_dvc_plugin.autologging.structured_files import read_params
from mlflow_dvc_plugin.errors import RunNotFoundError
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from tests import forkserver
from tests.project import Project

PIPELINE = f"""
stages:
  train:
    cmd: {sys.executable} train.py
    deps: [data/a.csv, train.py]
    params:
    - lr
    - model.depth
    - config.toml: [opt]
    outs: [model.bin]
    metrics:
    - metrics.json: {{cache: false}}
    plots:
    - curve.csv
metrics:
- live/metrics.yaml
plots:
- live/plots
- named: {{y: {{live/other.tsv: [a]}}}}
"""
TRAIN = """
import json, os, mlflow, pathlib
with mlflow.start_run() as run:
    mlflow.log_param("lr", 0.5)
    mlflow.log_metric("acc", 0.25)
    pathlib.Path("model.bin").write_text("m" + run.info.run_id)
    pathlib.Path("metrics.json").write_text(json.dumps({"acc": 0.9, "test": {"f1": 0.8, "n": 3}}))
    pathlib.Path("curve.csv").write_text("x,y\\n1,2\\n")
    os.makedirs("live/plots", exist_ok=True)
    pathlib.Path("live/plots/a.tsv").write_text("step\\tv\\n0\\t1\\n")
    pathlib.Path("live/other.tsv").write_text("a\\n1\\n")
"""
PARAMS = "lr: 0.1\nmodel:\n  depth: 3\n  width: 4\non: no\nnight: 22:30:00\n"


@pytest.fixture(scope="module")
def store(module_store: str) -> str:
    return module_store


@pytest.fixture(autouse=True)
def tracking(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    mlflow.set_tracking_uri(store)
    name = request.node.name
    mlflow.create_experiment(name, artifact_location=(tmp_path / "art").as_uri())
    mlflow.set_experiment(name)
    return str(name)


@pytest.fixture
def pipeline(project: Project) -> Project:
    project.add("data/a.csv", "a\n1\n")
    project.write("dvc.yaml", PIPELINE)
    project.write("train.py", TRAIN)
    project.write("params.yaml", PARAMS)
    project.write("config.toml", "[opt]\nname = 'adam'\n[other]\nx = 1\n")
    project.write("requirements.txt", "scikit-learn\n")
    project.commit()
    return project


def artifacts(run_id: str) -> dict[str, bytes]:
    """The run's artifacts below dvc/, without what hides them from DVC."""
    try:
        folder = Path(MlflowClient().download_artifacts(run_id, "dvc"))
    except (OSError, mlflow.exceptions.MlflowException):
        return {}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".dvcignore"
    }


def inputs(run_id: str) -> dict[str, str]:
    found = MlflowClient().get_run(run_id).inputs.dataset_inputs
    return {item.dataset.name: item.dataset.digest for item in found}


@pytest.mark.versions
@pytest.mark.slow
def test_a_stage_of_a_pipeline_is_logged_without_a_line_of_code(
    pipeline: Project, store: str, tracking: str
) -> None:
    pipeline.dvc(
        "repro",
        MLFLOW_DVC_AUTOLOG="1",
        MLFLOW_TRACKING_URI=store,
        MLFLOW_EXPERIMENT_NAME=tracking,
    )
    run = mlflow.search_runs(output_format="list")[0]
    run_id = run.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.tags["dvc.stage"] == "train"
    assert inputs(run_id) == {"data/a.csv": run.data.tags["dvc.data.data/a.csv"]}
    assert run.data.params == {"lr": "0.5", "model.depth": "3", "opt.name": "adam"}
    assert run.data.metrics == {"acc": 0.25, "test.f1": 0.8, "test.n": 3.0}
    found = artifacts(run_id)
    assert set(found) == {
        "state.json",
        "data/a.csv.dvc",
        "dvc.yaml",
        "params.yaml",
        "config.toml",
        "requirements.txt",
        "curve.csv",
        "live/plots/a.tsv",
        "live/other.tsv",
    }
    assert found["params.yaml"].decode() == PARAMS
    source = mlflow.data.get_source(run.inputs.dataset_inputs[0])
    assert Path(source.load()).read_text() == "a\n1\n"


@pytest.mark.versions
@pytest.mark.usefixtures("pipeline")
def test_outside_a_stage_all_params_are_logged_as_dvc_reads_them() -> None:
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        pass
    found = MlflowClient().get_run(run.info.run_id).data.params
    assert found == {
        "lr": "0.1",
        "model.depth": "3",
        "model.width": "4",
        "on": "no",
        "night": "22:30:00",
    }
    assert inputs(run.info.run_id).keys() == {"data/a.csv"}


def test_a_small_table_has_a_schema_like_the_users_own(pipeline: Project) -> None:
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        pass
    found = MlflowClient().get_run(run.info.run_id).inputs.dataset_inputs[0].dataset
    own = mlflow_dvc.from_dvc(pipeline.path / "data/a.csv").to_dict()
    assert found.schema == own["schema"]
    assert found.profile == own["profile"]
    assert json.loads(artifacts(run.info.run_id)["state.json"])["status"] == "clean"


def test_data_that_dvc_did_not_record_is_no_dataset_of_the_run(
    pipeline: Project, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.add("other.csv", "b\n")
    pipeline.write("data/a.csv", "edited\n")
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        pass
    assert MlflowClient().get_run(run.info.run_id).data.tags["dvc.modified"] == "data/a.csv"
    assert inputs(run.info.run_id).keys() == {"other.csv"}
    assert "data/a.csv is not logged as a dataset" in caplog.text


def test_no_dataset_is_logged_whose_change_the_tags_may_not_name(project: Project) -> None:
    project.add("a,b.csv", "a\n")
    project.add("c.csv", "c\n")
    project.write("a,b.csv", "edited\n")
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        pass
    assert inputs(run.info.run_id).keys() == {"c.csv"}
    state = mlflow_dvc.capture()
    assert state is not None
    assert not is_modified(state, "c.csv")
    # A tag names at most 20 paths, and at most so many characters.
    assert is_modified(state._replace(modified=tuple(map(str, range(20)))), "c.csv")
    assert is_modified(state._replace(modified=("x" * 1500,)), "c.csv")


def test_files_older_than_the_run_are_not_taken(pipeline: Project) -> None:
    pipeline.write("metrics.json", '{"acc": 0.1}')
    pipeline.write("curve.csv", "x,y\n")
    mlflow_dvc.autolog()
    with mlflow.start_run() as first:
        pass
    with mlflow.start_run() as second:
        (pipeline.path / "metrics.json").write_text('{"acc": 0.7, "ok": true, "name": "x"}')
    assert MlflowClient().get_run(first.info.run_id).data.metrics == {}
    assert MlflowClient().get_run(second.info.run_id).data.metrics == {"acc": 0.7}
    assert "curve.csv" not in artifacts(second.info.run_id)


@pytest.mark.versions
def test_what_the_user_logged_wins(pipeline: Project, caplog: pytest.LogCaptureFixture) -> None:
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow_dvc.from_dvc("data/a.csv", name="mine"), context="training")
        mlflow.log_param("model.depth", 99)
        mlflow.log_metric("acc", 0.5, step=7)
        mlflow.log_text("mine", "dvc/params.yaml")
        (pipeline.path / "metrics.json").write_text('{"acc": 0.9}')
    found = MlflowClient().get_run(run.info.run_id)
    assert found.data.params["model.depth"] == "99"
    assert found.data.metrics["acc"] == 0.5
    assert [item.dataset.name for item in found.inputs.dataset_inputs] == ["mine"]
    assert found.inputs.dataset_inputs[0].tags[0].value == "training"
    assert found.inputs.dataset_inputs[0].dataset.schema
    assert artifacts(run.info.run_id)["params.yaml"] == b"mine"
    assert "'model.depth' keeps the logged value '99'" in caplog.text


@pytest.mark.versions
@pytest.mark.usefixtures("pipeline")
def test_every_kind_of_run_is_logged() -> None:
    mlflow_dvc.autolog()
    client = MlflowClient()
    experiment = client.get_experiment_by_name("test_every_kind_of_run_is_logged")
    plain = client.create_run(experiment.experiment_id)
    client.set_terminated(plain.info.run_id)
    with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        pass
    ids: list[str] = []

    def work() -> None:
        # In threads, `start_run` of MLflow 2.14 ends the runs of others.
        run = client.create_run(experiment.experiment_id)
        ids.append(run.info.run_id)
        client.set_terminated(run.info.run_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run_id in (plain.info.run_id, parent.info.run_id, child.info.run_id, *ids):
        run = client.get_run(run_id)
        assert run.data.tags["dvc.schema"] == "1"
        assert run.data.params["lr"] == "0.1"
        assert inputs(run_id).keys() == {"data/a.csv"}
    assert "dvc.yaml" in artifacts(parent.info.run_id)
    assert artifacts(child.info.run_id) == {}, "the parent has them"
    assert load_state(plain.info.run_id).source == "manifest"


@pytest.mark.versions
def test_a_resumed_run_gets_what_it_lacks(
    pipeline: Project, caplog: pytest.LogCaptureFixture
) -> None:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("test_a_resumed_run_gets_what_it_lacks")
    bare = client.create_run(experiment.experiment_id).info.run_id
    mlflow_dvc.autolog()
    with mlflow.start_run(run_id=bare):
        pass
    assert client.get_run(bare).data.tags["dvc.data_hash"]
    assert "state.json" in artifacts(bare)
    before = client.get_run(bare).data
    pipeline.add("data/a.csv", "other")
    with mlflow.start_run(run_id=bare):
        mlflow.log_metric("later", 1)
        assert mlflow_dvc.log_state() is None
    after = client.get_run(bare).data
    assert after.tags["dvc.data_hash"] == before.tags["dvc.data_hash"]
    assert after.params == before.params
    assert len(client.get_run(bare).inputs.dataset_inputs) == 1
    assert "was recorded on other data" in caplog.text


@pytest.mark.usefixtures("pipeline")
def test_a_resumed_run_is_logged_without_a_line_of_code(store: str) -> None:
    client = MlflowClient()
    experiment = client.get_experiment_by_name(
        "test_a_resumed_run_is_logged_without_a_line_of_code"
    )
    bare = client.create_run(experiment.experiment_id).info.run_id
    code = "import mlflow\nwith mlflow.start_run():\n    pass\n"
    chosen = {"MLFLOW_DVC_AUTOLOG": "1", "MLFLOW_RUN_ID": bare, "MLFLOW_TRACKING_URI": store}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **chosen}, check=True)
    found = client.get_run(bare)
    assert found.data.tags["dvc.data_hash"]
    assert found.data.params["lr"] == "0.1"
    assert inputs(bare).keys() == {"data/a.csv"}


def test_a_store_inside_the_project_does_not_become_part_of_its_data(
    pipeline: Project, tracking: str
) -> None:
    inside = (pipeline.path / "mlruns").as_uri()
    mlflow.set_experiment(experiment_id=mlflow.create_experiment(f"{tracking}-2", inside))
    before = mlflow_dvc.capture()
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        pass
    assert list(pipeline.path.glob(f"mlruns/{run.info.run_id}/artifacts/dvc/dvc.yaml"))
    assert list((pipeline.path / "mlruns").rglob(".dvcignore")) == [
        pipeline.path / "mlruns/.dvcignore"
    ]
    after = mlflow_dvc.capture()
    assert before is not None
    assert after is not None
    assert after.entries == before.entries
    with pipeline.opened() as repo:
        assert {str(out) for out in repo.index.outs} == {"data/a.csv", "model.bin"} | {
            "metrics.json",
            "curve.csv",
        }


def test_data_beside_the_stores_folder_is_not_hidden(project: Project, tracking: str) -> None:
    project.add("data/a.csv", "1")
    inside = (project.path / "data").as_uri()
    mlflow.set_experiment(experiment_id=mlflow.create_experiment(f"{tracking}-2", inside))
    before = mlflow_dvc.capture()
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        pass
    assert list(project.path.glob(f"data/{run.info.run_id}/artifacts/dvc/data/a.csv.dvc"))
    after = mlflow_dvc.capture()
    assert before is not None
    assert after is not None
    assert after.entries == before.entries
    with project.opened() as repo:
        assert [str(out) for out in repo.index.outs] == ["data/a.csv"]


def test_each_part_can_be_switched_off(pipeline: Project) -> None:
    mlflow_dvc.autolog(
        log_datasets=False,
        log_artifacts=False,
        log_params=False,
        log_metrics=False,
        log_plots=False,
    )
    with mlflow.start_run() as run:
        (pipeline.path / "metrics.json").write_text('{"acc": 0.9}')
    found = MlflowClient().get_run(run.info.run_id)
    assert not found.data.params
    assert not found.data.metrics
    assert not inputs(run.info.run_id)
    assert not artifacts(run.info.run_id)


@pytest.mark.usefixtures("pipeline")
@pytest.mark.parametrize("name", ["RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"])
def test_only_the_first_process_of_a_distributed_job_logs(
    name: str, tracking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = MlflowClient().get_experiment_by_name(tracking)
    bare = MlflowClient().create_run(experiment.experiment_id).info.run_id
    mlflow_dvc.autolog()
    monkeypatch.setenv(name, "1")
    with mlflow.start_run(run_id=bare):
        pass
    assert not artifacts(bare)
    with mlflow.start_run() as own:
        pass
    found = MlflowClient().get_run(own.info.run_id)
    assert found.data.tags["dvc.data_hash"], "tags are not autologging"
    assert not found.data.params
    assert not found.inputs.dataset_inputs
    monkeypatch.setenv(name, "0")
    with mlflow.start_run() as first:
        pass
    assert MlflowClient().get_run(first.info.run_id).data.params
    assert artifacts(first.info.run_id)


@pytest.mark.usefixtures("pipeline")
@pytest.mark.parametrize(
    ("value", "has"), [("params", ["params"]), ("datasets, params", ["datasets", "params"])]
)
def test_the_environment_may_name_the_parts(
    monkeypatch: pytest.MonkeyPatch, value: str, has: list[str]
) -> None:
    monkeypatch.setitem(_integrations(), "dvc", {})
    monkeypatch.setenv("MLFLOW_DVC_AUTOLOG", value)
    with mlflow.start_run() as run:
        pass
    found = MlflowClient().get_run(run.info.run_id)
    assert bool(found.data.params) == ("params" in has)
    assert bool(inputs(run.info.run_id)) == ("datasets" in has)
    assert not artifacts(run.info.run_id)


def _integrations() -> dict[str, Any]:
    from mlflow.utils.autologging_utils import AUTOLOGGING_INTEGRATIONS

    found: dict[str, Any] = AUTOLOGGING_INTEGRATIONS
    return found


@pytest.mark.usefixtures("pipeline")
def test_it_is_disabled_as_mlflows_flavours_are() -> None:
    from mlflow.utils.autologging_utils import disable_autologging

    mlflow_dvc.autolog()
    with disable_autologging(), mlflow.start_run() as first:
        pass
    mlflow_dvc.autolog(disable=True)
    with mlflow.start_run() as second:
        pass
    for run in (first, second):
        assert not MlflowClient().get_run(run.info.run_id).data.params


def test_nothing_fails_a_run_or_prints_into_it(
    pipeline: Project, store: str, tracking: str
) -> None:
    code = """
import warnings, mlflow, mlflow_dvc_plugin
from mlflow.tracking import MlflowClient
warnings.simplefilter("ignore")
mlflow_dvc_plugin.autolog(silent=True)
def refuse(*args, **kwargs):
    raise OSError("the store is down")
for name in ("log_artifacts", "log_artifact", "log_inputs", "list_artifacts"):
    setattr(MlflowClient, name, refuse)
with mlflow.start_run() as run:
    open("metrics.json", "w").write("{broken")
    open("params.yaml", "w").write("a: [")
with mlflow.start_run():
    pass
"""
    environ = {**os.environ, "MLFLOW_TRACKING_URI": store, "MLFLOW_EXPERIMENT_NAME": tracking}
    done = forkserver.MLFLOW.run("-c", code, cwd=pipeline.path, env=environ)
    assert done.returncode == 0, done.stderr
    assert "dvc" not in done.stdout + done.stderr
    assert {run.info.status for run in mlflow.search_runs(output_format="list")} == {"FINISHED"}


def test_a_project_that_cannot_be_read_is_said_and_fails_nothing(project: Project) -> None:
    project.write("a.dvc", "outs: [\n")
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        pass
    plain = MlflowClient().create_run(run.info.experiment_id)
    for run_id in (run.info.run_id, plain.info.run_id):
        assert "a.dvc" in MlflowClient().get_run(run_id).data.tags["dvc.error"]


def test_a_setting_that_cannot_be_read_is_said_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("pyproject.toml", "[tool.mlflow-dvc]\nautolog = maybe\n")
    monkeypatch.setenv("MLFLOW_DVC_AUTOLOG", "1")
    monkeypatch.setitem(_integrations(), "dvc", {})
    hooks.install()
    with mlflow.start_run() as run:
        pass
    other = MlflowClient().create_run(run.info.experiment_id)
    for run_id in (run.info.run_id, other.info.run_id):
        assert "pyproject.toml" in MlflowClient().get_run(run_id).data.tags["dvc.error"]


def test_log_state_logs_all_of_it_now(pipeline: Project) -> None:
    with mlflow.start_run() as run:
        (pipeline.path / "metrics.json").write_text('{"acc": 0.75}')
        state = mlflow_dvc.log_state()
    found = MlflowClient().get_run(run.info.run_id)
    assert state is not None
    assert found.data.tags["dvc.data_hash"] == state.data_hash
    assert found.data.metrics == {"acc": 0.75}
    assert found.data.params["lr"] == "0.1"
    assert inputs(run.info.run_id)
    assert "dvc.yaml" in artifacts(run.info.run_id)


@pytest.mark.usefixtures("pipeline")
def test_log_state_takes_any_run_and_names_what_it_lacks() -> None:
    client = MlflowClient()
    experiment = client.get_experiment_by_name(
        "test_log_state_takes_any_run_and_names_what_it_lacks"
    )
    made = client.create_run(experiment.experiment_id).info.run_id
    mlflow_dvc.log_state(made, log_params=False)
    assert client.get_run(made).data.tags["dvc.manifest"]
    assert not client.get_run(made).data.params
    with pytest.raises(RunNotFoundError, match="No run is active"):
        mlflow_dvc.log_state()
    with pytest.raises(RunNotFoundError, match="no run"):
        mlflow_dvc.log_state("0" * 32)


def test_long_params_are_cut_and_said(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.write("params.yaml", json.dumps({"long": "x" * 10_000, "größe": 1, "a": [1, "b"]}))
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        pass
    found = MlflowClient().get_run(run.info.run_id).data.params
    assert found["long"] == "x" * 6000
    assert found["a"] == "[1, 'b']"
    assert found["gr__e"] == "1"
    assert "'long' is cut to 6000 characters" in caplog.text


def test_python_and_json_params_are_read_as_dvc_does(project: Project) -> None:
    project.write("p.py", "LR = 0.1\nNAME: str = 'x'\nimport os\nclass Net:\n    depth = 3\n")
    project.write("p.json", '{"LR": 0.2, "d": {"e": null}}')
    found, said = read_params(str(project.path), {"p.py": [], "p.json": [], "none.yaml": ["x"]})
    assert found == {"LR": "0.1", "NAME": "x", "Net.depth": "3", "p.json/LR": "0.2", "d.e": "None"}
    assert not said


def test_a_url_with_a_password_is_not_uploaded(project: Project) -> None:
    project.add("a", "1")
    project.write("requirements.txt", "--index-url https://user:secret@example.com/simple\n")
    project.write("uv.lock", 'source = { git = "https://github.com/a/b" }\n')
    state = mlflow_dvc.capture()
    assert state is not None
    assert set(collect_files(state, ["params.yaml"])) == {"a.dvc", "uv.lock", "state.json"}


@pytest.mark.usefixtures("pipeline")
def test_a_forked_process_does_not_end_its_parents_run() -> None:
    mlflow_dvc.autolog()
    with mlflow.start_run() as run:
        recording = hooks.find_recording(run.info.run_id)
        assert recording is not None
        recording.pid += 1
        assert hooks.find_recording(run.info.run_id) is None
