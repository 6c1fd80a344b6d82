"""A run's data as a read-only artifact repository of MLflow, in clients alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.errors import MlflowDvcError, NoFileError, NoObjectError, ReadOnlyError
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState, Entry
from tests.history import History
from tests.run_files.conftest import FILES, Stored


def files(folder: str) -> dict[str, bytes]:
    top = Path(folder)
    return {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}


def test_mlflow_downloads_a_file_a_folder_and_all(stored: Stored) -> None:
    address = f"mlflow-dvc://{stored.run_id}"
    download = mlflow.artifacts.download_artifacts
    path = download(f"{address}/data/raw.csv")
    assert Path(path).read_bytes() == FILES["data/raw.csv"]
    folder = download(f"{address}/data/images", dst_path="here")
    assert Path(folder) == Path("here/images").absolute()
    assert {f"data/images/{name}": data for name, data in files(folder).items()} == {
        name: data for name, data in FILES.items() if name.startswith("data/images/")
    }
    assert files(download(address)) == FILES
    assert files(download(f"mlflow-dvc://runs:/{stored.run_id}")) == FILES


def test_a_model_stands_for_its_run(stored: Stored, history: History) -> None:
    history.client.create_registered_model("churn")
    history.client.create_model_version("churn", "file:///nowhere", run_id=stored.run_id)
    history.client.set_registered_model_alias("churn", "champion", "1")
    for model in ("models:/churn/1", "models:/churn@champion"):
        download = mlflow.artifacts.download_artifacts
        assert files(download(f"mlflow-dvc://{model}")) == FILES
        path = download(f"mlflow-dvc://{model}/data/raw.csv")
        assert Path(path).read_bytes() == FILES["data/raw.csv"]


def test_it_lists_with_sizes(stored: Stored) -> None:
    found = mlflow.artifacts.list_artifacts(f"mlflow-dvc://{stored.run_id}/data")
    assert [(i.path, i.is_dir, i.file_size) for i in found] == [
        ("data/images", True, None),
        ("data/raw.csv", False, len(FILES["data/raw.csv"])),
    ]
    assert mlflow.artifacts.list_artifacts(f"mlflow-dvc://{stored.run_id}/data/raw.csv") == []


def test_what_cannot_be_had_is_one_sentence(stored: Stored) -> None:
    with pytest.raises(NoFileError) as err:
        mlflow.artifacts.download_artifacts(f"mlflow-dvc://{stored.run_id}/nothing")
    assert "\n" not in str(err.value)
    for path in stored.remote.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_text("damaged")
    with pytest.raises(NoObjectError, match="other bytes under this hash"):
        mlflow.artifacts.download_artifacts(f"mlflow-dvc://{stored.run_id}/model.bin")


def test_it_refuses_to_write(stored: Stored, history: History) -> None:
    experiment = history.client.create_experiment(
        "evil", artifact_location=f"mlflow-dvc://{stored.run_id}"
    )
    run = history.client.create_run(experiment)
    Path("local").write_text("x")
    attempts: tuple[Callable[[], Any], ...] = (
        lambda: history.client.log_artifact(run.info.run_id, "local"),
        lambda: history.client.log_artifacts(run.info.run_id, "."),
        lambda: history.client.log_text(run.info.run_id, "x", "x.txt"),
    )
    for attempt in attempts:
        with pytest.raises(ReadOnlyError, match=r"can only be read\.") as err:
            attempt()
        assert "\n" not in str(err.value)


def test_a_dataset_may_have_such_a_source(stored: Stored) -> None:
    source = f"mlflow-dvc://{stored.run_id}/data/raw.csv"
    dataset = mlflow.data.from_pandas(pd.read_csv(source), source=source)
    assert Path(dataset.source.load()).read_bytes() == FILES["data/raw.csv"]


@pytest.mark.usefixtures("stored")
def test_runs_that_refer_to_each_other_end_in_an_error(history: History) -> None:
    """Their artifacts would have to say what the data is that the artifacts are."""
    state = DataState(root=".", entries=(Entry("a", "md5", "1" * 32),))
    tags = {k: v for k, v in state.to_tags().items() if not k.startswith("dvc.manifest")}
    runs: list[str] = []
    for number in range(2):
        experiment = history.client.create_experiment(
            f"evil-{number}", artifact_location="mlflow-dvc://" + (runs[0] if runs else "f" * 32)
        )
        runs.append(history.client.create_run(experiment, tags=tags).info.run_id)
    own = history.client.create_experiment("own", artifact_location=f"mlflow-dvc://{runs[1]}")
    runs.append(history.client.create_run(own, tags=tags).info.run_id)
    for run_id in runs:
        with pytest.raises(MlflowDvcError) as err:
            load_state(run_id)
        assert "\n" not in str(err.value)
        assert "recursion" not in str(err.value)
        with pytest.raises((MlflowDvcError, MlflowException)):
            mlflow.artifacts.download_artifacts(run_id=run_id)


def test_a_server_process_refuses_at_once(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
    with pytest.raises(MlflowException, match="A tracking server does not read addresses"):
        mlflow.artifacts.download_artifacts(f"mlflow-dvc://{stored.run_id}/model.bin")


@pytest.mark.slow
def test_a_server_reads_nothing_for_whoever_made_an_experiment(
    stored: Stored, history: History, tmp_path: Path
) -> None:
    """The server has credentials, the attacker has not: it would be the attacker's reader."""
    from tests.deployments.services import answers, free_port, running

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", history.uri, "--workers", "1", "--serve-artifacts"),
        *("--artifacts-destination", str(tmp_path / "artifacts")),
    ]
    env = {
        "MLFLOW_DVC_URL": str(stored.remote),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_TRACKING_URI": history.uri,
    }
    (tmp_path / "server").mkdir()
    with running(command, tmp_path / "server/log", answers(f"{address}/health"), env):
        client = MlflowClient(address)
        experiment = client.create_experiment(
            "evil", artifact_location=f"mlflow-dvc://{stored.run_id}/data"
        )
        run_id = client.create_run(experiment).info.run_id
        client.create_registered_model("evil")
        source = f"mlflow-dvc://{stored.run_id}/data"
        version = create_version(address, "evil", source, run_id)
        paths = [
            f"get-artifact?run_id={run_id}&path=raw.csv",
            f"ajax-api/2.0/mlflow/artifacts/list?run_id={run_id}",
            f"api/2.0/mlflow/artifacts/list?run_id={run_id}",
            f"model-versions/get-artifact?name=evil&version={version}&path=raw.csv",
            f"api/2.0/mlflow-artifacts/artifacts/{stored.run_id}/data/raw.csv",
        ]
        for path in paths:
            code, text = ask(f"{address}/{path}")
            assert code >= 400, path
            assert "1,2" not in text
            assert "raw.csv" not in text or "mlflow-artifacts" in path


def create_version(address: str, name: str, source: str, run_id: str) -> str:
    """Make a model version as no client of MLflow's would; "1" if the server refuses that."""
    body = json.dumps({"name": name, "source": source, "run_id": run_id}).encode()
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/model-versions/create",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return str(json.load(answer)["model_version"]["version"])
    except urllib.error.HTTPError:
        return "1"


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as err:
        return err.code, err.read().decode()


@pytest.mark.slow
def test_import_mlflow_loads_next_to_nothing_of_it() -> None:
    code = (
        "import sys, mlflow\n"
        "from mlflow.store.artifact import artifact_repository_registry as registry\n"
        "assert 'mlflow-dvc' in registry.get_registered_artifact_repositories()\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('dvc', 'dvc_data', 'dvc_objects')])\n"
        "print(sorted(m for m in sys.modules if 'mlflow_dvc_plugin.run_files' in m))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:mlflow.store", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    dvc, ours = done.stdout.splitlines()[-2:]
    assert dvc == "[]"
    assert ours == str(
        ["mlflow_dvc_plugin.run_files", "mlflow_dvc_plugin.run_files.artifact_repository"]
    )


@pytest.mark.slow
def test_the_repository_imported_first_is_registered_all_the_same() -> None:
    code = (
        "from mlflow_dvc_plugin.run_files.artifact_repository import open_repository\n"
        "import mlflow_dvc_plugin.run_files.repository\n"
        "from mlflow.store.artifact import artifact_repository_registry as registry\n"
        "assert 'mlflow-dvc' in registry.get_registered_artifact_repositories()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
