"""The process ends as soon as everything is written, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LINES = 200_000
_BODY = """
import atexit, sys, threading, time
from mlflow_dvc_plugin.cli import __main__ as process

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
process.run()
"""


def _ended(end: str) -> subprocess.CompletedProcess[str]:
    code = _BODY.format(lines=_LINES, end=end)
    return subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
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
