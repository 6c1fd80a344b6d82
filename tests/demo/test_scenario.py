"""The demo is run once, for real, inside another Git repository; the tests read what it left."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.demo import DemoError, run_demo
from mlflow_dvc_plugin.demo.comparison import compare_data, copy_data, list_data
from mlflow_dvc_plugin.demo.shell import Shell, build_environment
from mlflow_dvc_plugin.errors import MlflowDvcError
from tests import forkserver
from tests.project import checked, run

# One worker runs the demo for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]

# What a user's own shell may hold; none of it may reach the demo's commands.
HOSTILE = {
    "DVC_STAGE": "other",
    "DVC_EXP_NAME": "other",
    "GIT_DIR": "/nowhere",
    "MLFLOW_DVC_DISABLE": "1",
    "MLFLOW_EXPERIMENT_NAME": "other",
    "MLFLOW_RUN_ID": "0" * 32,
    "MLFLOW_TRACKING_URI": "http://localhost:1",
    "SHELL": "/nowhere/zsh",
}


@dataclass(frozen=True)
class Played:
    folder: Path
    lines: list[str]

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as store:
            return store.execute(sql).fetchall()

    def tags(self, run_id: str) -> dict[str, str]:
        rows = self.query(f"select key, value from tags where run_uuid = '{run_id}'")
        return dict(rows)


def run_forked(
    command: list[str], real: Callable[..., Any] = subprocess.run, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run Python's commands in forks; `.ci/run` has the demo of new processes."""
    if command[0] != sys.executable:
        done: subprocess.CompletedProcess[str] = real(command, **options)
        return done
    forked = forkserver.DVC.run(*command[1:], cwd=options["cwd"], env=options["env"])
    return subprocess.CompletedProcess(
        command, forked.returncode, f"{forked.stdout}{forked.stderr}"
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    base = tmp_path_factory.mktemp("outer")
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith(("DVC_", "GIT_", "MLFLOW_"))]:
            patch.delenv(name)
        # No Git user is configured in this home.
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "site-cache"))
        run("git", "init", "-q", cwd=base)
        checked(forkserver.DVC.run("-c", "pass"))
        patch.setattr(subprocess, "run", run_forked)
        for name, value in HOSTILE.items():
            patch.setenv(name, value)
        lines: list[str] = []
        folder = base / "a demo"
        run_demo(str(folder), lambda text: lines.extend(text.split("\n")))
    return Played(folder.resolve(), lines)


@pytest.fixture(scope="module")
def run_ids(played: Played) -> list[str]:
    return [row[0] for row in played.query("select run_uuid from runs order by start_time")]


def test_two_runs_are_recorded_with_their_metrics(played: Played, run_ids: list[str]) -> None:
    assert len(run_ids) == 2
    metrics = dict(played.query("select run_uuid, value from metrics where key = 'accuracy'"))
    assert set(metrics) == set(run_ids)
    assert all(value > 0.9 for value in metrics.values())


def test_runs_carry_the_tags_of_their_stage(played: Played, run_ids: list[str]) -> None:
    for run_id in run_ids:
        tags = played.tags(run_id)
        assert tags["dvc.schema"] == "1"
        assert tags["dvc.stage"] == "train"
        assert tags["dvc.remote"] == "local"
        assert "dvc.error" not in tags
        assert tags["dvc.data.data/processed"].endswith(".dir")


def test_changed_data_changes_every_hash(played: Played, run_ids: list[str]) -> None:
    first, second = (played.tags(run_id) for run_id in run_ids)
    for name in ("dvc.data_hash", "dvc.inputs_hash", "dvc.data.data/processed"):
        assert first[name] != second[name], name


def test_the_first_runs_data_is_back_and_dvc_agrees(played: Played) -> None:
    assert list_data(str(played.folder)) == [
        "data/processed/test.csv",
        "data/processed/train.csv",
        "data/raw/breast_cancer.csv",
    ]
    patients = (played.folder / "data/raw/breast_cancer.csv").read_text().splitlines()[1:]
    assert len(patients) == 400
    done = forkserver.DVC.run("-m", "dvc", "status", "process", cwd=played.folder)
    assert "up to date" in done.stdout


def test_the_proof_is_told_in_the_last_lines(played: Played, run_ids: list[str]) -> None:
    files = list_data(str(played.folder))
    size = sum((played.folder / path).stat().st_size for path in files)
    proved = f"Proved: 3 files, {size:,} bytes, byte for byte what run {run_ids[0][:8]} trained on."
    told = played.lines.index("Try next:")
    assert played.lines[told - 2] == proved
    assert len(played.lines) - told < 12
    identical = [line.split()[0] for line in played.lines if line.endswith(" identical")]
    assert identical == files


def test_each_step_is_told_before_it_runs(played: Played) -> None:
    steps = [line[:3] for line in played.lines if re.match(r"\d/\d  ", line)]
    assert steps == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    assert f"     $ mlflow-dvc restore {_restored(played)}" in played.lines


def _restored(played: Played) -> str:
    return next(line.split()[-1] for line in played.lines if "$ mlflow-dvc restore" in line)


def test_the_project_has_its_own_repository_with_everything_committed(played: Played) -> None:
    log = run("git", "log", "--format=%s", cwd=played.folder).splitlines()
    assert log == [
        "Train on all patients",
        "Train on the first patients",
        "Add a pipeline and its data",
    ]
    tracked = run("git", "ls-files", cwd=played.folder).splitlines()
    assert {"data/raw/breast_cancer.csv.dvc", "dvc.lock", "metrics.json"} <= set(tracked)
    ignored = ("mlflow.db", "mlruns/", "dvc-remote/", "models/model.pkl")
    assert not [name for name in tracked if name.startswith(ignored)]


def test_the_example_knows_nothing_of_this_plugin(played: Played) -> None:
    for path in ("src/process_data.py", "src/train_model.py", "dvc.yaml", "params.yaml"):
        text = (played.folder / path).read_text()
        assert "mlflow_dvc" not in text, path
        assert "mlflow-dvc" not in text, path


def test_a_folder_in_use_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DemoError) as caught:
        run_demo(str(tmp_path), print)
    assert str(caught.value) == (
        f"{tmp_path} is not empty. Name a new or empty folder for the demo."
    )
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(DemoError, match=r"cannot use .*taken"):
        run_demo(str(taken), print)
    assert taken.read_text() == "mine"


def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DemoError, match="needs Git"):
        run_demo(str(tmp_path / "demo"), print)
    assert not (tmp_path / "demo").exists()


def test_a_failing_command_shows_its_last_lines(tmp_path: Path) -> None:
    lines: list[str] = []
    tools = tmp_path / "tools"
    tools.mkdir()
    shell = Shell(str(tmp_path), build_environment(str(tools)), lines.append)
    with pytest.raises(MlflowDvcError, match="`git log` exited with 128") as caught:
        shell.git("log")
    assert "\n" not in str(caught.value)
    assert lines[0] == "     $ git log"
    assert "not a git repository" in lines[1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data/raw/a.csv", b"1,3\n"),
        ("data/raw/extra.csv", b""),
        ("data/raw/a.csv", None),
    ],
    ids=["one byte off", "one too many", "one missing"],
)
def test_the_proof_fails_on_any_difference(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    project, copy = tmp_path / "project", tmp_path / "copy"
    raw = project / "data/raw"
    raw.mkdir(parents=True)
    (raw / "a.csv").write_bytes(b"1,2\n")
    (raw / "a.csv.dvc").write_bytes(b"outs:\n")
    copy_data(str(project), str(copy))
    assert [file.path for file in compare_data(str(project), str(copy))] == ["data/raw/a.csv"]

    if content is None:
        (project / name).unlink()
    else:
        (project / name).write_bytes(content)
    with pytest.raises(DemoError):
        compare_data(str(project), str(copy))


def test_a_python_is_found_where_the_interpreter_has_none_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    interpreter = sys.executable
    (bare / "python3").symlink_to(interpreter)
    monkeypatch.setattr(sys, "executable", str(bare / "python3"))
    with tempfile.TemporaryDirectory() as tools:
        env = build_environment(tools)
        said = run("sh", "-c", "python -c 'print(6 * 7)'", cwd=tmp_path, check=True, **env)
    assert said.strip() == "42"
