"""The command line as people and scripts use it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.cli import COMMANDS
from tests import forkserver
from tests.history import mlflow_dvc as in_process
from tests.project import Project
from tests.record import record, snapshot


def mlflow_dvc(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return forkserver.DVC.run(*COMMAND, *args, env={**os.environ, **env})


COMMAND = ("-m", "mlflow_dvc_plugin.cli")


def fails(*args: str, **env: str) -> str:
    """The one line that a command says when it fails as expected."""
    done = mlflow_dvc(*args, **env)
    assert done.returncode == 1, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


@pytest.fixture
def recorded(project: Project, store: str, tmp_path: Path) -> str:
    """The id of a run on the first of two data versions."""
    project.remote(tmp_path / "remote")
    project.add("data/a.csv", "1")
    project.commit()
    project.push()
    tags = dict(record(project.path).tags)
    run_id = MlflowClient(store).create_run("0", tags=tags).info.run_id
    project.add("data/a.csv", "22")
    return str(run_id)


@pytest.mark.versions
@pytest.mark.windows
def test_show_prints_the_recorded_state_as_json(recorded: str, store: str) -> None:
    done = mlflow_dvc("show", recorded[:10], "--json", "--tracking-uri", store)
    shown = json.loads(done.stdout)
    assert set(shown) == {
        "run_id", "root", "data_hash", "lock_hash", "git_commit", "stage", "inputs_hash",
        "status", "remote", "source", "entries",
    }  # fmt: skip
    assert shown["run_id"] == recorded
    assert shown["source"] == "manifest"
    assert shown["entries"] == [
        {
            "path": "data/a.csv",
            "hash_name": "md5",
            "hash": "c4ca4238a0b923820dcc509a6f75849b",
            "size": 1,
            "nfiles": None,
            "isdir": False,
            "cached": True,
            "input": False,
            "stage": None,
            "metafile": "data/a.csv.dvc",
        }
    ]


@pytest.mark.versions
def test_show_prints_a_table_without_colour_or_cuts_into_a_pipe(recorded: str, store: str) -> None:
    command = [sys.executable, *COMMAND, "show", recorded, "--tracking-uri", store]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert re.search(r"data/a\.csv +c4ca4238a0b923820dcc509a6f75849b +1 B +1 ", done.stdout)


def test_restore_from_the_command_line(recorded: str, store: str, project: Project) -> None:
    done = mlflow_dvc("restore", recorded, "--json", MLFLOW_TRACKING_URI=store)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    keys = {
        "run_id", "source", "added", "modified", "deleted", "unchanged", "files", "bytes",
        "verified", "undo",
    }  # fmt: skip
    assert keys <= set(result)
    assert result["modified"] == ["data/a.csv"]
    assert (project.path / "data/a.csv").read_text() == "1"
    assert project.data_status() == {}

    done = mlflow_dvc("undo")
    assert done.returncode == 0, done.stderr
    assert (project.path / "data/a.csv").read_text() == "22"


def test_paths_are_taken_from_the_working_directory(
    recorded: str, store: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.path / "data")
    done = mlflow_dvc("restore", recorded, "a.csv", "--tracking-uri", store)
    assert done.returncode == 0, done.stderr
    assert (project.path / "data/a.csv").read_text() == "1"
    assert "outside the project" in fails("restore", recorded, "../../x", "--tracking-uri", store)


def test_a_missing_object_exits_1_and_names_it(
    recorded: str, store: str, project: Project, tmp_path: Path
) -> None:
    for folder in (tmp_path / "remote", project.path / ".dvc/cache"):
        for path in folder.rglob("*"):
            if path.is_file() and path.read_bytes() == b"1":
                path.unlink()
    before = snapshot(project.path)
    assert "data/a.csv" in fails("restore", recorded, "--tracking-uri", store)
    assert snapshot(project.path) == before


@pytest.mark.versions
@pytest.mark.windows
def test_status_says_what_a_run_would_get_and_what_is_missing(
    recorded: str, project: Project
) -> None:
    done = mlflow_dvc("status", "--json")
    report = json.loads(done.stdout)
    assert set(report) == {"root", "tags", "entries", "problems"}
    assert report["tags"]["dvc.data.data/a.csv"] == "b6d767d2f8ed5d21a44b0e5886680cb9"
    assert [p for p in report["problems"] if "dvc push" in p and "data/a.csv" in p]
    project.push()
    assert json.loads(mlflow_dvc("status", "--json").stdout)["problems"] == []
    assert "could be restored" in mlflow_dvc("status").stdout
    assert recorded


def test_status_asks_the_remote_that_each_out_names(project: Project, tmp_path: Path) -> None:
    project.remote(tmp_path / "own", "own")
    project.remote(tmp_path / "remote")
    for name, line in (("a.csv", "  remote: own"), ("b.csv", "  push: false"), ("c.csv", "")):
        project.add(name, name)
        metafile = project.path / f"{name}.dvc"
        metafile.write_text(f"{metafile.read_text()}{line}\n")
    project.push()
    problems = json.loads(mlflow_dvc("status", "--json").stdout)["problems"]
    assert problems == []
    (tmp_path / "own").rename(tmp_path / "away")
    (problem,) = json.loads(mlflow_dvc("status", "--json").stdout)["problems"]
    assert problem.startswith(
        f"Nothing was pushed yet: the folder {tmp_path}/own of the DVC remote own"
    )


def test_status_names_a_project_without_remote(project: Project) -> None:
    project.add("a", "1")
    assert "no default DVC remote" in mlflow_dvc("status").stdout


def test_outside_a_project_each_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "not in a DVC project" in fails("status")
    assert "DVC project" in fails("restore", "a" * 32, "--tracking-uri", store)
    assert "DVC project" in fails("undo")


def test_an_unreachable_server_is_one_line(project: Project) -> None:
    assert project
    line = fails(
        "show", "a" * 32, "--tracking-uri", "http://127.0.0.1:9",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )  # fmt: skip
    assert "MLflow at http://127.0.0.1:9 does not answer (connection refused)." in line


@pytest.mark.versions
@pytest.mark.parametrize(
    "args", [("stauts",), ("show",), ("restore", "a", "--jobs", "0"), ("show", "--what")]
)
def test_wrong_usage_exits_2(args: tuple[str, ...]) -> None:
    done = mlflow_dvc(*args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.versions
def test_a_mistyped_command_is_guessed() -> None:
    assert "Did you mean 'restore'?" in mlflow_dvc("restor").stderr


@pytest.mark.versions
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = in_process(name, "--help")
    assert done.code == 0
    assert ("--tracking-uri" in done.stdout) == (name != "completion")
