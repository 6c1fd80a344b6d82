"""Workers of a cluster, started as docs/deployments.md shows it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.capturing import capture
from tests.documentation.blocks import Block, find_block
from tests.project import Project
from tests.project import run as execute

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("clusters")]

# Where each run was: no Git, no DVC, and no more in the folder than what was shipped.
PROBE = """\
    import os, shutil, sys
    os.environ["PATH"] = "/nowhere"
    import mlflow
"""
REPORT = """\
        mlflow.log_dict(
            {"cwd": os.getcwd(), "files": os.listdir(), "git": shutil.which("git"),
             "dvc": "dvc" in sys.modules}, "worker.json")
"""


def driver(block: Block) -> str:
    """The guide's code for a kind of cluster, whose workers tell where they are."""
    code = block.code
    logs = '        mlflow.log_param("depth", depth)\n'
    assert logs in code
    return code.replace("    import mlflow\n", PROBE, 1).replace(logs, logs + REPORT, 1)


@pytest.fixture
def data(project: Project) -> Project:
    project.add("data/a.csv", "a\n1\n")
    project.write("params.yaml", "lr: 0.1\n")
    project.commit()
    return project


def start(project: Project, server: str, code: str, **env: str) -> list[Run]:
    """Run the driver; the runs that its workers started."""
    client = MlflowClient(server)
    experiment = client.create_experiment(project.path.parent.name)
    execute(
        *(sys.executable, "-W", "ignore", "-c", code),
        cwd=project.path,
        check=True,
        MLFLOW_TRACKING_URI=server,
        MLFLOW_EXPERIMENT_ID=experiment,
        **env,
    )
    listed: list[Run] = client.search_runs([experiment])
    return listed


def check(project: Project, server: str, found: list[Run]) -> None:
    state = capture(project.path)
    assert state is not None
    expected = state.to_tags()
    assert {item.data.params["depth"] for item in found} == {"2", "4", "8"}
    for item in found:
        tags = {key: value for key, value in item.data.tags.items() if key.startswith("dvc.")}
        assert tags == expected
        where = MlflowClient(server).download_artifacts(item.info.run_id, "worker.json")
        worker = json.loads(Path(where).read_text())
        assert worker["git"] is None
        assert worker["dvc"] is False
        assert set(worker["files"]) <= {"state.json", "stdout", "stderr"}
        assert not worker["cwd"].startswith(str(project.path))


def test_ray(data: Project, server: str) -> None:
    pytest.importorskip("ray", reason="needs the extra `clusters`")
    code = driver(find_block("docs/deployments.md", "ray.init"))
    code = code.replace("ray.init(", "ray.init(include_dashboard=False, num_cpus=2, ")
    # The second is Ray's switch for the loopback interface, whatever its name says.
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    found = start(data, server, code, **quiet)
    check(data, server, found)


def test_spark(data: Project, server: str, tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="needs the extra `clusters`")
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    # Two executors, each a process of its own.
    submit = "--master local-cluster[2,1,512] --conf spark.executor.memory=512m"
    found = start(
        data,
        server,
        driver(find_block("docs/deployments.md", "pyspark")) + "spark.stop()\n",
        PYSPARK_SUBMIT_ARGS=f"{submit} --conf spark.ui.enabled=false pyspark-shell",
        PYSPARK_PYTHON=sys.executable,
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_WORKER_DIR=str(tmp_path / "work"),
    )
    check(data, server, found)
