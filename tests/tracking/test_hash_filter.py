"""The filter by hash, in MLflow's own search: on each kind of store, and in old releases.

``MLFLOW_DVC_OTHER_PYTHON`` names a Python with another release of MLflow and this package.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.runs import postgresql
from tests.project import Project

# Read before the tests' isolation takes it away.
OTHER = os.environ.get("MLFLOW_DVC_OTHER_PYTHON")
PYTHONS = [sys.executable, *([OTHER] if OTHER else [])]

# Runs on "1", on "2", and on both; then the first one loses its index.
SCRIPT = """\
import json, subprocess, sys
from pathlib import Path
import mlflow

def run(*args):
    command = [sys.executable, "-m", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True)

def find(*args):
    done = run("mlflow_dvc_plugin.cli", "find", *args, "--json")
    return sorted(names[found["run_id"]] for found in json.loads(done.stdout)), done.stderr

mlflow.set_experiment("hashes")
names = {}
for name, path, content in (("one", "a.csv", "1"), ("two", "a.csv", "2"), ("both", "b/c.csv", "1")):
    file = Path(path)
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_text(content)
    run("dvc", "add", "-q", path)
    with mlflow.start_run(run_name=name) as started:
        names[started.info.run_id] = name
told = {"version": mlflow.__version__}
for digits in sys.argv[1:]:
    text = f"tags.\\"dvc.hashes\\" LIKE '%{digits}%'"
    frame = mlflow.search_runs(filter_string=text, search_all_experiments=True)
    told[digits] = [sorted(frame["tags.mlflow.runName"]), find("--hash", digits)]
client = mlflow.MlflowClient()
(first,) = [run_id for run_id, name in names.items() if name == "one"]
client.delete_tag(first, "dvc.hashes")
told["old"] = find("--hash", sys.argv[1])
run("mlflow_dvc_plugin.cli", "backfill", "--index")
told["indexed"] = client.get_run(first).data.tags["dvc.hashes"]
print(json.dumps(told))
"""


def digits(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()[:8]


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[str]:
    if kind == "postgresql":
        if not list(Path("/usr/lib/postgresql").glob("*/bin")):
            pytest.skip("needs PostgreSQL")
        # Its own user must reach the folder.
        with tempfile.TemporaryDirectory(prefix="mlflow-dvc-pg-") as place:
            Path(place).chmod(0o755)
            with postgresql(Path(place) / "server") as uri:
                yield uri
    else:
        folder.mkdir()
        yield f"sqlite:///{folder / 'mlflow.db'}" if kind == "sqlite" else folder.as_uri()


def ask(python: str, project: Project, uri: str) -> dict[str, Any]:
    done = subprocess.run(
        [python, "-c", SCRIPT, digits("1"), digits("2")],
        cwd=project.path,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_ALLOW_FILE_STORE": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "sqlite", "postgresql"])
@pytest.mark.parametrize("python", PYTHONS)
def test_mlflows_own_search_finds_runs_by_a_hash(
    project: Project, tmp_path: Path, kind: str, python: str
) -> None:
    with opened(kind, tmp_path / "store") as uri:
        told = ask(python, project, uri)
    for text, names in (("1", ["both", "one"]), ("2", ["both", "two"])):
        assert told[digits(text)] == [names, [names, ""]], told["version"]
    found, remark = told["old"]
    assert found == ["both", "one"]
    assert remark.startswith("1 run had to be read one by one")
    assert told["indexed"] == hashlib.md5(b"1").hexdigest()
