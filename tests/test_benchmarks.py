"""The benchmarks run; what they find on a busy machine is no test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.startup import TARGETS
from tests import forkserver

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_benchmark_of_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = subprocess.run

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Fork the probes, but for the one that imports MLflow itself."""
        if command[:3] != [sys.executable, "-m", "benchmarks.probe"] or "imports" in command:
            done: subprocess.CompletedProcess[str] = fresh(command, **options)
            return done
        return forkserver.DVC.run(*command[1:], env=options["env"])

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.chdir(ROOT)
    found = tmp_path / "rows.json"
    benchmarks.main(["capture", "--small", "--json", str(found)])
    rows = json.loads(found.read_text())
    assert all(row["ours"] > 0 and row["theirs"] > 0 for row in rows if row["unit"] == "s")
    assert {row["target"] for row in rows} >= {0.005, 1 / 15, 1 / 25, 1, 1.05, 1.2, 12}
    assert [line for line in capsys.readouterr().out.splitlines() if "start_run" in line]


@pytest.mark.slow
def test_benchmark_of_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = tmp_path / "rows.json"
    with patch.dict(os.environ):  # it sets variables of this process
        benchmarks.main(["saving", "--small", "--json", str(found)])
    rows = json.loads(found.read_text())
    assert all(row["ours"] > 0 and row["theirs"] > 0 for row in rows)
    assert [row["target"] for row in rows] == [0.7, 0.7, 1.2, None]


@pytest.mark.slow
def test_benchmark_of_reading(tmp_path: Path) -> None:
    pytest.importorskip("moto.server", reason="needs the extra `remotes`")
    found = tmp_path / "rows.json"
    command = [sys.executable, "-m", "benchmarks.reading", "--scale", "0.002", "--repeat", "1"]
    subprocess.run([*command, "--json", str(found)], cwd=ROOT, check=True)
    rows = json.loads(found.read_text())
    assert [row["target"] for row in rows] == [1.1] * 4
    assert all(row["ours"] > 0 and row["theirs"] > 0 for row in rows)


@pytest.mark.slow
def test_benchmark_of_the_start(tmp_path: Path) -> None:
    if not os.path.exists(os.path.join(sysconfig.get_path("scripts"), "mlflow-dvc")):
        pytest.skip("mlflow-dvc is not installed in this environment")
    found = tmp_path / "seconds.json"
    command = [sys.executable, "-m", "benchmarks.startup", "--repeat", "1", "--json", str(found)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert json.loads(found.read_text()).keys() == TARGETS.keys()
