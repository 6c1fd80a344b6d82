"""The process ends as soon as everything is written, and not before."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.history import History
from tests.project import Project

pytestmark = pytest.mark.slow

_LINES = 200_000
_BODY = """
import atexit, sys, threading, time
{before}
from mlflow_dvc_plugin.cli import __main__ as process
from mlflow_dvc_plugin.cli.__main__ import run


class Slow:
    def __del__(self):
        print("taken apart")

kept = Slow()

def late():
    time.sleep(0.5)
    print("thread done")

def main():
    atexit.register(print, "handler done")
    for number in range({lines}):
        print(number)
    threading.Thread(target=late).start()
    {end}

process.main = main
{call}
"""


def _ended(end: str, before: str = "", call: str = "run()") -> subprocess.CompletedProcess[str]:
    code = _BODY.format(lines=_LINES, end=end, before=before, call=call)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )


@pytest.mark.parametrize("code", [0, 1, 130])
def test_nothing_that_others_do_at_exit_is_left_out(code: int) -> None:
    done = _ended(f"sys.exit({code})")
    numbers = [str(number) for number in range(_LINES)]
    assert done.stdout.splitlines() == [*numbers, "thread done", "handler done"]
    assert (done.returncode, done.stderr) == (code, "")


def test_an_end_that_nobody_expected_is_pythons_own() -> None:
    done = _ended("raise RuntimeError('unexpected')")
    assert done.returncode == 1
    assert done.stdout.endswith("thread done\nhandler done\ntaken apart\n")
    assert "RuntimeError: unexpected" in done.stderr


def test_what_was_printed_before_stdout_was_replaced_is_written() -> None:
    done = _ended("import io; sys.stdout = io.StringIO(); sys.exit(0)")
    assert str(_LINES - 1) in done.stdout


def test_a_handler_that_was_there_before_is_called() -> None:
    done = _ended("sys.exit(0)", before="atexit.register(print, 'first')")
    assert done.returncode == 0
    assert done.stdout.endswith("handler done\nfirst\ntaken apart\n")


def test_another_program_that_runs_it_goes_on() -> None:
    call = "del run\ntry:\n    process.run()\nexcept SystemExit:\n    sys.exit(7)"
    done = _ended("sys.exit(0)", call=call)
    assert done.returncode == 7
    assert done.stdout.endswith("handler done\ntaken apart\n")


def test_a_program_that_runs_a_command_keeps_its_own_exit_code() -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['mlflow-dvc', '--version']\n"
        "try:\n    runpy.run_module('mlflow_dvc_plugin.cli', run_name='__main__')\n"
        "except SystemExit:\n    sys.exit(3)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 3


def test_a_store_in_wal_mode_is_whole_afterwards(
    project: Project, history: History, tmp_path: Path
) -> None:
    project.add("a", "1")
    project.commit()
    uri = history.uri
    run = MlflowClient(uri).create_run("0")
    store = Path(uri.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "tag", run.info.run_id]
    subprocess.run(command, check=True, cwd=project.path)
    copied = shutil.copy(store, tmp_path / "copy.db")
    with closing(sqlite3.connect(copied)) as connection:
        query = "SELECT COUNT(*) FROM tags WHERE key LIKE 'dvc%'"
        assert connection.execute(query).fetchone()[0] > 3
