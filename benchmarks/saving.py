"""Saving at a run's start, beside `dvc add` and beside the look at the status alone.

Two equal projects take turns: in one a run starts with MLFLOW_DVC_SAVE, in the other
`dvc add` does the same work. Both figures are of whole processes. A look is timed inside
its process, which has imported what MLflow has imported by then.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from dvc.repo import Repo

from benchmarks.measure import Row, process

_LOOK = """
import concurrent.futures, json, logging, sqlite3, time
from mlflow_dvc_plugin.capturing.run_start import capture_run_start
started = time.perf_counter()
found = capture_run_start(save=True)
print(time.perf_counter() - started, found.state.status)
"""
_AGED = 2.5  # seconds after which timestamps can be believed
_SIZE = 51_200  # bytes of a file


def measure(folder: Path, small: bool, repeat: int) -> list[Row]:
    """All rows; with `small`, the figures mean nothing."""
    count = 50 if small else 10_000
    bench = _Bench(folder, count)
    taken: dict[str, list[float]] = defaultdict(list)
    for turn in range(repeat + 1):
        for what, numbers in (("all", range(count)), ("some", range(0, count, 100))):
            bench.change(numbers, f"{turn} {what}")
            seconds = {"save": bench.save(), "add": bench.add()}
            time.sleep(0 if small else _AGED)
            # The one has just saved the data, the other has added it: nothing changed since.
            seconds |= {"saved before": bench.look("save", save=True)}
            seconds |= {"clean": bench.look("add", save=True), "plain": bench.look("add")}
            if turn:
                for name, value in seconds.items():
                    taken[f"{what}, {name}"].append(value)
    found = {name: statistics.median(values) for name, values in taken.items()}
    size = f"{count:,} files, {count * _SIZE // 10**6} MB"
    return [
        Row(f"{size}: all changed, dvc add", found["all, save"], found["all, add"], 0.7),
        Row(f"{size}: 1 in 100 changed, dvc add", found["some, save"], found["some, add"], 0.7),
        Row(f"{size}: nothing changed, status", found["all, clean"], found["all, plain"], 1.2),
        Row(f"{size}: saved before, status", found["all, saved before"], found["all, plain"], None),
    ]


class _Bench:
    """Two projects with the same tracked folder."""

    def __init__(self, folder: Path, count: int) -> None:
        self._env = {
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "DVC_NO_ANALYTICS": "1",
            "HOME": str(folder),
            "PYTHONPATH": os.getcwd(),
        }
        os.environ.update(self._env)
        self._projects = {name: folder / name for name in ("save", "add")}
        for path in self._projects.values():
            path.mkdir(parents=True)
            subprocess.run(["git", "init", "-q"], cwd=path, check=True)
            Repo.init(str(path)).close()
        self.change(range(count), "first")
        for path in self._projects.values():
            with Repo(str(path)) as repo:
                repo.add([str(path / "data")])

    def change(self, numbers: Iterable[int], seed: str) -> None:
        """Write some of the files anew, in both projects the same."""
        for path in self._projects.values():
            choose = random.Random(seed)
            for number in numbers:
                target = path / "data" / str(number // 1000) / f"{number}.bin"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                target.write_bytes(choose.randbytes(_SIZE))
        os.sync()

    def save(self) -> float:
        """Start a run that saves the data; seconds."""
        command = [sys.executable, "-c", _LOOK]
        env = {**self._env, "MLFLOW_DVC_SAVE": "1"}
        return process(command, self._projects["save"], env)[0]

    def add(self) -> float:
        """`dvc add`; seconds."""
        command = [sys.executable, "-m", "dvc", "add", "-q", "data"]
        return process(command, self._projects["add"], self._env)[0]

    def look(self, project: str, save: bool = False) -> float:
        """Look at a project in a new process, without a time limit; seconds."""
        env = {**os.environ, **self._env, "MLFLOW_DVC_SAVE": "1" if save else "0"}
        done = subprocess.run(
            [sys.executable, "-c", _LOOK],
            cwd=self._projects[project],
            env={**env, "MLFLOW_DVC_STATUS_BUDGET_MS": "1000000"},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, status = done.stdout.split()
        assert status == ("saved" if project == "save" else "clean"), status
        return float(seconds)
