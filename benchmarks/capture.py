"""What capture costs a training job, beside DVC's index, YAML parsers and the floor.

The floor is listing the folders and reading the metafiles' bytes, and nothing
else. Every figure is taken in a process of its own, which has imported what the
contender needs; the contenders take turns.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from benchmarks import projects
from benchmarks.measure import Row

Figures = dict[str, float]

# Seconds after which timestamps of what was written can be believed.
_AGED = 2.5


def measure(folder: Path, small: bool, repeat: int) -> list[Row]:
    """All rows; with `small`, of projects so small that their figures mean nothing."""
    sizes = {"few": 10, "many": 30 if small else 1_000, "most": 60 if small else 10_000}
    files = {"few": 20 if small else 1_000, "many": 100 if small else 1_000_000}
    bench = _Bench(folder, repeat, 0 if small else _AGED)
    rows: list[Row] = []
    staged: dict[str, Figures] = {}
    for size, count in sizes.items():
        name = f"{count:,} stages"
        found = staged[size] = bench.figures(name, lambda at, n=count: projects.stages(at, n))
        rows += _against_the_floor(name, found)
        target = {"many": 1 / 100, "most": 1 / 200}.get(size)
        rows.append(Row(f"{name}: first ever, DVC's index", *_of(found, "first", "index"), target))
        rows += [
            Row(f"{name}: first ever, {parser}", *_of(found, "first", parser), None)
            for parser in ("c loader", "safe_load")
            if parser in found
        ]
    for count in (10, files["few"]):
        name = f"{count:,} .dvc files"
        found = bench.figures(name, lambda at, n=count: projects.dvc_files(at, n))
        rows += _against_the_floor(name, found)
        rows.append(Row(f"{name}: first ever, DVC's index", *_of(found, "first", "index"), None))
    ignored = 10 * files["few"]
    name = f"{ignored:,} ignored files around"
    found = bench.figures(name, lambda at: projects.deep(at, ignored))
    rows += _against_the_floor(name, found)
    few, many = staged["many"], staged["most"]
    growth = many["first"] / sizes["most"] * sizes["many"]
    rows.append(Row("10 times the stages: first ever", many["first"], few["first"], 12))
    rows.append(Row("  the same for each stage", growth, few["first"], None))
    memory = many["memory"] / 1e6
    rows.append(Row(f"{sizes['most']:,} stages: memory added, 60 MB", memory, 60, 1, "MB"))
    rows += _folders(bench, files)
    rows += _runs(bench, sizes)
    rows += _imports(bench)
    return rows


def _against_the_floor(name: str, found: Figures) -> list[Row]:
    rows = [
        Row(f"{name}: first ever, floor", *_of(found, "first", "floor"), None),
        Row(f"{name}: unchanged, listing", *_of(found, "unchanged", "listing"), 2),
        Row(
            f"{name}: unchanged with status, listing",
            *_of(found, "unchanged, with status", "listing"),
            None,
        ),
    ]
    if "one changed" in found:
        rows.append(Row(f"{name}: one changed, floor", *_of(found, "one changed", "floor"), None))
    return rows


def _folders(bench: _Bench, files: dict[str, int]) -> list[Row]:
    few, many = (
        bench.figures(
            f"folder of {count:,}", lambda at, n=count: projects.tracked_folder(at, n), ("capture",)
        )
        for count in files.values()
    )
    what = f"tracked folder of {files['many']:,} files, of {files['few']:,}"
    # The budget of the status is part of both.
    return [
        Row(f"{what}: first, with status", *_both(few, many, "first", "with status"), 1.2),
        Row(f"{what}: unchanged", *_both(few, many, "unchanged, with status"), None),
    ]


def _both(few: Figures, many: Figures, *names: str) -> tuple[float, float]:
    return sum(many[name] for name in names), sum(few[name] for name in names)


def _runs(bench: _Bench, sizes: dict[str, int]) -> list[Row]:
    rows = []
    for count, target in ((sizes["few"], 1.03), (sizes["many"], 1.10)):
        name = f"start_run to end_run, {count:,} stages"
        found = bench.figures(name, lambda at, n=count: projects.stages(at, n), ("runs",))
        rows += [
            Row(f"{name}: none", *_of(found, "with", "without"), target),
            Row(f"{name}: the same tags for nothing", *_of(found, "with", "constant"), None),
            Row(f"{name}: the first run, none", *_of(found, "first", "without"), None),
        ]
    return rows


def _imports(bench: _Bench) -> list[Row]:
    found = [bench.probe("imports", ".") for _ in range(2 * bench.repeat + 1)]
    own, whole = (statistics.median(each[name] for each in found) for name in ("own", "import"))
    return [Row("import mlflow: the plugin's part, all else", own, whole, 0.005)]


def _of(found: Figures, ours: str, theirs: str) -> tuple[float, float]:
    return found[ours], found[theirs]


class _Bench:
    """Makes projects, and probes them."""

    def __init__(self, folder: Path, repeat: int, wait: float) -> None:
        self._folder = folder
        self.repeat = repeat
        self._wait = wait
        # As where people train: Python keeps what it compiled.
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self._env = {
            **inherited,
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]),
        }

    def figures(
        self,
        name: str,
        make: Callable[..., Path],
        probes: tuple[str, ...] = ("capture", "floor", "index", "yaml"),
    ) -> Figures:
        """The medians of what the probes find in a project."""
        print(f"… {name}", file=sys.stderr, flush=True)
        root = make(self._folder / "project")
        found: dict[str, list[float]] = defaultdict(list)
        time.sleep(self._wait)
        try:
            for _ in range(self.repeat):
                for probe in probes:
                    for key, value in self.probe(probe, str(root)).items():
                        found[key].append(value)
        finally:
            shutil.rmtree(root)
        return {key: statistics.median(values) for key, values in found.items()}

    def probe(self, what: str, root: str) -> Figures:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.probe", what, root],
            capture_output=True,
            text=True,
            check=False,
            env=self._env,
        )
        if done.returncode:
            raise RuntimeError(f"{what} of {root} exited {done.returncode}: {done.stderr}")
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        return figures
