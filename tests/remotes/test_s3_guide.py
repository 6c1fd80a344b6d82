"""The page on S3 works with a real server for S3's protocol."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.deployments import services
from tests.documentation.blocks import find_block
from tests.documentation.shell import offer_commands
from tests.project import Project, run
from tests.record import record

pytestmark = pytest.mark.slow


def test_the_page_on_s3(
    project: Project, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3 = pytest.importorskip("boto3", reason="needs the extra `remotes`")
    pytest.importorskip("dvc_s3", reason="needs the extra `remotes`")
    pytest.importorskip("moto.server", reason="needs the extra `remotes`")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.add("data/raw.csv", "a,b\n1,2\n")
    project.commit()
    run_id = MlflowClient(store).create_run("0", tags=dict(record(project.path).tags)).info.run_id
    with services.s3(tmp_path) as address, offer_commands() as commands:
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="bucket")
        monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")

        def execute(code: str, cwd: Path) -> str:
            code = code.replace("https://minio.example.com", address).replace("RUN", run_id)
            return run("bash", "-eu", "-c", code, cwd=cwd)

        execute(find_block("docs/s3.md", "dvc remote add").code, project.path)
        checked = execute(find_block("docs/s3.md", "mlflow-dvc check").code, project.path)
        assert run_id[:8] in checked
        execute(find_block("docs/s3.md", "mlflow-dvc push").code, project.path)
        # Far from the clone.
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        listed = execute(find_block("docs/s3.md", "--url").code, tmp_path)
        assert "data/raw.csv" in listed
        assert (tmp_path / "data/data/raw.csv").read_text() == "a,b\n1,2\n"
