"""MLflow as teams run it: PostgreSQL, artifacts in S3, accounts; DVC's remote in S3, too."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import forkserver
from tests.deployments import services
from tests.project import Project, checked, run

pytest.importorskip("boto3", reason="needs the extra `deployments`")
pytest.importorskip("moto.server", reason="needs the extra `deployments`")
pytest.importorskip("dvc_s3", reason="needs the extra `deployments`")
pytest.importorskip("psycopg2", reason="needs the extra `deployments`")
pytest.importorskip("flask_wtf", reason="needs the extra `deployments`")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(services.postgres_binaries() is None, reason="needs PostgreSQL"),
    pytest.mark.xdist_group("deployment"),
]

JOB = """
import mlflow, mlflow_dvc_plugin
mlflow.set_experiment("churn")
mlflow_dvc_plugin.autolog()
with mlflow.start_run() as run:
    mlflow.log_metric("accuracy", 0.9)
print("RUN", run.info.run_id)
"""
LOAD = """
import sys, mlflow
run = mlflow.get_run(sys.argv[1])
inputs = run.inputs.dataset_inputs
print("LOADED", open(mlflow.data.get_source(inputs[0]).load()).read())
"""


@dataclass
class Deployment:
    mlflow: str
    s3: str
    env: dict[str, str]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    import boto3

    folder = tmp_path_factory.mktemp("deployment")
    keys = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "pass"}
    with services.postgres() as database, services.s3(folder) as s3:
        env = {**keys, "AWS_DEFAULT_REGION": "us-east-1", "MLFLOW_S3_ENDPOINT_URL": s3}
        client = boto3.client(
            "s3",
            endpoint_url=s3,
            region_name="us-east-1",
            aws_access_key_id="user",
            aws_secret_access_key="pass",
        )
        for bucket in ("artifacts", "data"):
            client.create_bucket(Bucket=bucket)
        with services.mlflow_with_accounts(folder, database, env) as url:
            yield Deployment(url, s3, env)


@pytest.fixture
def env(deployment: Deployment) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": deployment.mlflow,
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": services.PASSWORD,
        "AWS_ACCESS_KEY_ID": "user",
        "AWS_SECRET_ACCESS_KEY": "pass",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def use_s3(project: Project, deployment: Deployment) -> None:
    with project.opened() as repo, repo.config.edit() as config:
        config["remote"]["store"] = {"url": "s3://data/dvc", "endpointurl": deployment.s3}
        config["core"]["remote"] = "store"


def python(cwd: Path, *args: str, **env: str) -> str:
    return checked(forkserver.DVC.run(*args, cwd=cwd, env={**os.environ, **env}))


def cli(cwd: Path, *args: str, **env: str) -> str:
    return python(cwd, "-m", "mlflow_dvc_plugin.cli", *args, **env)


def started(cwd: Path, **env: str) -> str:
    out = python(cwd, "-c", JOB, **env)
    return next(line.split()[1] for line in out.splitlines() if line.startswith("RUN"))


def test_the_whole_round_on_another_machine(
    project: Project, deployment: Deployment, env: dict[str, str], tmp_path: Path
) -> None:
    use_s3(project, deployment)
    project.add("data/größe.csv", "a\n1\n")
    project.write("data/raw/x.txt", "x")
    project.add("data/raw")
    project.commit()
    python(project.path, "-m", "dvc", "push", **env)
    run_id = started(project.path, **env)
    project.add("data/größe.csv", "a\n2\n")
    project.commit()
    run("git", "clone", "-q", str(project.path), str(tmp_path / "other"), cwd=tmp_path)
    other = tmp_path / "other"

    shown = json.loads(cli(other, "show", run_id[:12], "--json", **env))
    assert shown["source"] == "manifest"
    result = json.loads(cli(other, "restore", run_id, "--json", **env))
    assert sorted(result["added"]) == ["data/größe.csv", "data/raw"]
    assert (other / "data/größe.csv").read_text() == "a\n1\n"
    assert "LOADED a\n1" in python(other, "-c", LOAD, run_id, **env)
    found = json.loads(cli(other, "find", "--data-hash", shown["data_hash"], "--json", **env))
    assert [item["run_id"] for item in found] == [run_id]
    tagged = json.loads(cli(other, "show", run_id, "--json", **env))
    assert tagged["data_hash"] == shown["data_hash"]


def test_without_a_password_it_says_so_in_one_line(project: Project, env: dict[str, str]) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "mlflow_dvc_plugin.cli", "show", "0" * 32],
        cwd=project.path,
        env={**os.environ, **env, "MLFLOW_TRACKING_PASSWORD": "wrong"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_large_project_fits_postgresql(project: Project, env: dict[str, str]) -> None:
    """PostgreSQL has VARCHAR limits that SQLite does not hold one to."""
    value = "c4ca4238a0b923820dcc509a6f75849b"
    for number in range(250):
        project.write(
            f"data/{number:03d}-{'n' * 60}.csv.dvc",
            f"outs:\n- md5: {value}\n  size: 1\n  hash: md5\n  path: {number:03d}-{'n' * 60}.csv\n",
        )
    project.write("params.yaml", json.dumps({"text": "x" * 7000}))
    project.commit()
    run_id = started(project.path, **env)
    shown = json.loads(cli(project.path, "show", run_id, "--json", **env))
    assert len(shown["entries"]) == 250
