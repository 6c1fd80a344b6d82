"""Where there is neither DVC nor the full MLflow, runs are tagged all the same."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.versions, pytest.mark.windows]

JOB = """
import json, sys
import mlflow
with mlflow.start_run() as run:
    mlflow.log_metric("m", 1)
tags = mlflow.get_run(run.info.run_id).data.tags
assert "dvc" not in sys.modules
print(json.dumps({k: v for k, v in tags.items() if k.startswith("dvc.")}))
"""
METAFILE = "outs:\n- md5: {md5}\n  size: {size}\n  hash: md5\n  path: {name}\n"
PIPELINE = """
stages:
  prepare:
    cmd: python prepare.py
    deps: [raw.csv]
    outs: [ready.csv]
  train:
    cmd: python train.py
    deps: [ready.csv]
    outs: [model.bin]
"""
LOCK = """
schema: '2.0'
stages:
  prepare:
    cmd: python prepare.py
    deps:
    - {path: raw.csv, hash: md5, md5: %s, size: 2}
    outs:
    - {path: ready.csv, hash: md5, md5: %s, size: 4}
"""


def md5(content: str) -> str:
    return hashlib.md5(content.encode()).hexdigest()


def track(folder: Path, name: str, content: str) -> str:
    """Leave what `dvc add` leaves; the hash."""
    value = md5(content)
    (folder / name).write_bytes(content.encode())
    text = METAFILE.format(md5=value, size=len(content), name=name)
    (folder / f"{name}.dvc").write_text(text)
    return value


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A project that no DVC made."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("[core]\n    remote = store\n")
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    return folder


def train(folder: Path, **env: str) -> dict[str, str]:
    store = {"MLFLOW_TRACKING_URI": (folder.parent / "mlruns").as_uri()}
    done = subprocess.run(
        [sys.executable, "-c", JOB],
        cwd=folder,
        env={**os.environ, **store, "MLFLOW_ALLOW_FILE_STORE": "true", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tags: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return tags


def test_a_run_is_tagged(bare: Path) -> None:
    value = track(bare, "a.csv", "1\n")
    subprocess.run(["git", "add", "-A"], cwd=bare, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "first"], cwd=bare, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=bare, check=True, capture_output=True)
    tags = train(bare)
    assert tags["dvc.data.a.csv"] == value
    assert tags["dvc.data_hash"] == md5(f"a.csv\tmd5:{value}\n")
    assert tags["dvc.hashes"] == value
    assert tags["dvc.git_commit"] == head.stdout.decode().strip()
    assert tags["dvc.status"] == "clean"
    assert tags["dvc.remote"] == "store"


def test_changed_data_is_named(bare: Path) -> None:
    track(bare, "a.csv", "1\n")
    track(bare, "b.csv", "2\n")
    (bare / "a.csv").write_text("changed")
    tags = train(bare)
    assert (tags["dvc.status"], tags["dvc.modified"]) == ("modified", "a.csv")


def test_in_a_stage_its_inputs_count(bare: Path) -> None:
    raw = track(bare, "raw.csv", "1\n")
    (bare / "ready.csv").write_bytes(b"1\n2\n")
    ready = md5("1\n2\n")
    (bare / "dvc.yaml").write_text(PIPELINE)
    (bare / "dvc.lock").write_text(LOCK % (raw, ready))
    tags = train(bare, DVC_STAGE="train", DVC_ROOT=str(bare))
    assert tags["dvc.stage"] == "train"
    assert tags["dvc.data.ready.csv"] == ready
    assert "dvc.data.raw.csv" not in tags
    assert tags["dvc.inputs_hash"] == md5(f"ready.csv\tmd5:{ready}\n")


def test_an_exported_state_is_taken_where_the_project_is_not(bare: Path, tmp_path: Path) -> None:
    value = track(bare, "a.csv", "1\n")
    code = (
        "import sys\n"
        "from mlflow_dvc_plugin.capturing import capture\n"
        "from mlflow_dvc_plugin.state import state_file\n"
        "open(sys.argv[2], 'w').write(state_file.dumps(capture(sys.argv[1])))\n"
    )
    exported = str(tmp_path / "state.json")
    subprocess.run([sys.executable, "-c", code, str(bare), exported], check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert train(elsewhere, MLFLOW_DVC_STATE=exported)["dvc.data.a.csv"] == value
