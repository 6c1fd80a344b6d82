"""Whoever waits at a terminal is told for what."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from threading import Thread

import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from tests.project import Project
from tests.record import record

LASTS = 0.8  # seconds, longer than a phase that is not drawn


class Terminal:
    """What a terminal showed, a line for each time it was drawn."""

    text = ""


@contextmanager
def terminal() -> Iterator[Terminal]:
    """Have stderr be a terminal; what it showed is known at the end."""
    shown = Terminal()
    ours, theirs = pty.openpty()
    written = []

    def read() -> None:
        with suppress(OSError):  # the other end is closed
            while data := os.read(ours, 4096):
                written.append(data)

    reader = Thread(target=read)
    reader.start()
    with open(theirs, "w", encoding="utf-8") as stderr, redirect_stderr(stderr):
        yield shown
    reader.join()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(written).decode())
    shown.text = text.replace("\r", "\n")


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.versions
def test_files_and_bytes_are_told() -> None:
    with terminal() as shown, ProgressBar() as progress:
        progress.begin("Fetching", 2000)
        progress.advance(files=999, size=1_000_000)
        progress.advance(files=1, size=500_000)
        time.sleep(LASTS)
    drawn = r"Fetching ━.* 1,000 of 2,000 files, 1\.5 MB, \d\.\d MB/s 0:00:00"
    assert re.search(drawn, shown.text)
    assert "Asking" not in shown.text


def test_a_phase_that_nothing_is_heard_of_is_told() -> None:
    with terminal() as shown, ProgressBar("Thinking"):
        time.sleep(LASTS)
    assert re.search(r"Thinking +0:00:00", shown.text)


def test_what_is_counted_may_be_no_files() -> None:
    with terminal() as shown, ProgressBar() as progress:
        progress.begin("Reading runs", 0)
        progress.advance(files=1234)
        time.sleep(LASTS)
    assert re.search(r"Reading runs 1,234 0:00:00", shown.text)


@pytest.mark.parametrize(("kind", "seconds"), [("xterm", 0), ("dumb", LASTS)])
def test_what_is_quick_or_cannot_be_drawn_is_not(
    monkeypatch: pytest.MonkeyPatch, kind: str, seconds: float
) -> None:
    monkeypatch.setenv("TERM", kind)
    with terminal() as shown, ProgressBar() as progress:
        progress.begin("Comparing", 10)
        progress.advance(files=10)
        time.sleep(seconds)
    assert shown.text == ""


@pytest.mark.slow
def test_a_script_gets_the_result_alone(project: Project, store: str) -> None:
    project.add("data", "1")
    project.commit()
    run = MlflowClient(store).create_run("0", tags=dict(record(project.path).tags))
    command = ["restore", run.info.run_id, "--json", "--tracking-uri", store]
    with terminal() as shown:
        done = subprocess.run(
            [sys.executable, "-m", "mlflow_dvc_plugin.cli", *command],
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            check=True,
        )
    assert json.loads(done.stdout)["unchanged"] == ["data"]
    assert "Asking MLflow" in shown.text  # which takes a second to import alone
