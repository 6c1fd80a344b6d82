"""Many at once: none fails, none waits, whatever DVC does meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import bounded
from tests.forks import ended, forked
from tests.project import Project

PROCESSES = bounded(24, 64)


@pytest.mark.slow
def test_many_processes_start_runs_during_a_repro(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("raw.csv", "1")
    project.write(
        "dvc.yaml",
        "stages:\n"
        + "".join(
            f"  s{n}:\n    cmd: sleep 0.1 && cp raw.csv out{n}\n    deps: [raw.csv]\n"
            f"    outs: [out{n}]\n"
            for n in range(12)
        ),
    )
    project.commit()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    def start(number: int) -> None:
        mlflow.set_tracking_uri((tmp_path / f"store{number}").as_uri())
        found = []
        for _ in range(3):
            with mlflow.start_run() as run:
                found.append(mlflow.get_run(run.info.run_id).data.tags)
        (tmp_path / f"{number}.json").write_text(json.dumps(found))

    command = [sys.executable, "-m", "dvc", "repro", "-q"]
    repro = subprocess.Popen(command, cwd=project.path, stderr=subprocess.PIPE)
    pids = [forked(lambda number=number: start(number)) for number in range(PROCESSES)]  # type: ignore[misc]
    codes = [ended(pid) for pid in pids]
    said = repro.communicate()[1].decode()
    assert codes == [0] * PROCESSES
    assert repro.returncode == 0, said
    for number in range(PROCESSES):
        for tags in json.loads((tmp_path / f"{number}.json").read_text()):
            assert "dvc.error" not in tags, tags
            assert tags["dvc.data.raw.csv"] == "c4ca4238a0b923820dcc509a6f75849b"
