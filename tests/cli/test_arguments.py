"""What a shell makes of mistakes: empty arguments, closed pipes, no store."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_dvc_plugin.cli import main
from tests import forkserver
from tests.history import History, mlflow_dvc
from tests.project import Project


@pytest.mark.parametrize(
    "args",
    [
        ("show", ""),
        ("restore", "RUN", ""),
        ("restore", "RUN", "a", ""),
        ("restore", "RUN", "--out", ""),
        ("restore", "RUN", "--worktree", ""),
        ("diff", "RUN", ""),
        ("find", "--path", ""),
        ("find", "--hash="),
        ("find", "--experiment", ""),
        ("find", "--metric", ""),
        ("log", ""),
        ("check", "RUN", ""),
        ("tag", "RUN", "--rev", ""),
        ("export", "-o", ""),
        ("status", "--tracking-uri", ""),
        ("demo", ""),
    ],
)
def test_an_empty_argument_is_wrong_usage_and_does_nothing(
    project: Project, history: History, args: tuple[str, ...]
) -> None:
    project.add("a", "1")
    run_id = history.run()
    before = sorted(project.path.rglob("*"))
    done = mlflow_dvc(*(run_id if arg == "RUN" else arg for arg in args))
    assert (done.code, done.stdout) == (2, "")
    assert "it is empty." in done.stderr
    assert sorted(project.path.rglob("*")) == before


def test_a_question_to_a_store_that_is_not_there_makes_none(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("a", "1")
    folder = project.path / "sub"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "There is no MLflow store at" in mlflow_dvc("find").error
    assert list(folder.iterdir()) == []
    for uri in ("sqlite:///other.db", f"sqlite:///{folder}/a/b.db", "file:///no/where", "mlruns"):
        assert "Check --tracking-uri" in mlflow_dvc("show", "abc", "--tracking-uri", uri).error
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "fresh"),
    [
        (["log", "a"], True),
        (["find"], False),
        (["find", "--json"], False),
        (["status", "--json"], False),
        (["diff", "RUN"], False),
    ],
)
def test_a_reader_that_has_had_enough_is_no_failure(
    project: Project, history: History, args: list[str], fresh: bool
) -> None:
    project.add("a", "1")
    run_id = history.run()
    project.add("a", "2")
    assert _unheard([run_id if arg == "RUN" else arg for arg in args], fresh) == (0, "")


@pytest.mark.slow
def test_check_answers_by_its_exit_code_even_when_nobody_reads(
    project: Project, history: History
) -> None:
    project.add("a", "1")
    run_id = history.run()
    for options in ([], ["--json"]):
        assert _unheard(["check", run_id, *options]) == (0, "")
    project.lose()
    for options in ([], ["--json"]):
        assert _unheard(["check", run_id, *options]) == (1, "")
    assert _unheard(["check", run_id], fresh=True) == (1, "")


def _unheard(args: list[str], fresh: bool = False) -> tuple[int, str]:
    """A command whose reader is gone before it prints: its exit code and its stderr.

    A fresh process ends as Python ends; the others are forked.
    """
    command = ["-m", "mlflow_dvc_plugin.cli", *args]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        if fresh:
            done = subprocess.run(
                [sys.executable, *command],
                stdout=writer,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        else:
            done = forkserver.DVC.run(*command, stdout=writer)
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_stream_that_takes_no_text_is_no_defect(project: Project, history: History) -> None:
    project.add("größe/日本", "1")
    run_id = history.run()
    command = f"{sys.executable} -m mlflow_dvc_plugin.cli"
    closed = subprocess.run(f"{command} show {run_id} >&-", shell=True, check=False)
    assert closed.returncode == 0
    full = f"{command} show {run_id} >/dev/full"
    done = subprocess.run(full, shell=True, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: No space left on device. Correct that, then run the same command again.\n",
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_path_can_be_printed_in_any_encoding(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    path = "größe/日本😀"
    project.add(path, "1")
    run_id = history.run()

    def printed(*args: str) -> str:
        data = io.BytesIO()
        stdout = io.TextIOWrapper(data, encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            with pytest.raises(SystemExit) as done:
                main(args)
        stdout.flush()
        assert done.value.code == 0
        return data.getvalue().decode(encoding)

    assert r"\u65e5\u672c\U0001f600" in printed("show", run_id)
    (found,) = json.loads(printed("find", "--json"))
    assert found["paths"] == [path]


def test_an_export_that_cannot_be_written_leaves_nothing(project: Project, tmp_path: Path) -> None:
    project.add("a", "1")
    folder = tmp_path / "folder"
    folder.mkdir()
    before = sorted(tmp_path.iterdir())
    assert "cannot be written" in mlflow_dvc("export", "--output", str(folder)).error
    assert sorted(tmp_path.iterdir()) == before


def test_a_person_who_interrupts_does_not_wait_for_the_next_page(
    project: Project, history: History
) -> None:
    """The second page never comes: a thread waits for it, and must not be waited for."""
    project.add("a", "1")
    history.run()
    history.run()
    script = (
        "import os, signal, threading, time\n"
        "from mlflow_dvc_plugin.tracking import store\n"
        "from mlflow_dvc_plugin.cli import main\n"
        "from mlflow import MlflowClient\n"
        "store.PAGE, search = 1, MlflowClient.search_runs\n"
        "def slow(*args, **kwargs):\n"
        "    if kwargs.get('page_token'):\n"
        "        threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "        time.sleep(300)\n"
        "    return search(*args, **kwargs)\n"
        "MlflowClient.search_runs = slow\n"
        "main(['find', '--path', 'a'])\n"
    )
    done = forkserver.DVC.run("-c", script)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "Interrupted.")
