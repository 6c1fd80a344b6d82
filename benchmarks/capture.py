"""What capture costs a training job, beside DVC's index and the floor.

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

# How often a probe times what is quick.
_TURNS = 30
_SMALL_TURNS = 3
# Seconds after which timestamps of what was written can be believed.
_AGED = 2.5
_STAT = 2e-6  # seconds for a look at one file

_UNCHANGED = ("capture", "recapture", "floor", "index")
_PIPELINE = (*_UNCHANGED, "change")


def measure(folder: Path, small: bool, repeat: int, real: Path | None = None) -> list[Row]:
    """All rows.

    Args:
        folder: where projects are made.
        small: make projects so small that their figures mean nothing.
        repeat: how often each figure is taken.
        real: a folder with archives of the metafiles of real projects.
    """
    sizes = {"few": 10, "many": 30 if small else 1_000, "most": 60 if small else 10_000}
    files = {"few": 20 if small else 1_000, "many": 100 if small else 1_000_000}
    bench = _Bench(folder, repeat, 0 if small else _AGED, _SMALL_TURNS if small else _TURNS)
    rows = _runs(bench, sizes) + _imports(bench)
    archives = sorted(real.glob("*.tar.gz")) if real else []
    for archive in archives:
        name = archive.name.removesuffix(".tar.gz")
        found = bench.figures(name, lambda at, a=archive: projects.real(at, a), _UNCHANGED)
        rows += _against_dvc(name, found)
    staged = []
    for count in sizes.values():
        name = f"{count:,} stages"
        found = bench.figures(name, lambda at, n=count: projects.stages(at, n), _PIPELINE)
        rows += [*_against_dvc(name, found), *_unchanged(name, found)]
        rows.append(Row(f"{name}: one changed, floor", *_of(found, "one changed", "floor"), None))
        staged.append(found)
    for what, make in (
        ("{:,} stages in DVC's own block style", projects.block_stages),
        ("{:,} stages from templates", projects.templates),
    ):
        name = what.format(sizes["most"])
        found = bench.figures(name, lambda at, m=make: m(at, sizes["most"]), _UNCHANGED)
        rows += [*_against_dvc(name, found), *_unchanged(name, found)]
    name = f"{files['few']:,} .dvc files in 50 folders"
    found = bench.figures(name, lambda at: projects.dvc_files(at, files["few"]), _UNCHANGED)
    rows += [*_against_dvc(name, found), *_unchanged(name, found, dvc_files=files["few"])]
    ignored = 10 * files["few"]
    name = f"{ignored:,} ignored files around"
    found = bench.figures(name, lambda at: projects.deep(at, ignored), _UNCHANGED)
    rows += [*_against_dvc(name, found), *_unchanged(name, found)]
    _, few, many = staged
    rows.append(Row("10 times the stages: first ever", many["first"], few["first"], 12))
    memory = many["memory"] / 1e6
    rows.append(Row(f"{sizes['most']:,} stages: memory added, 60 MB", memory, 60, 1, "MB"))
    return rows + _folders(bench, files)


def _against_dvc(name: str, found: Figures) -> list[Row]:
    first, again = (40, 100) if found["index"] > 1 else (15, 25)  # times faster
    return [
        Row(f"{name}: first ever, DVC's index", *_of(found, "first", "index"), 1 / first),
        Row(f"{name}: new process, DVC's index", *_of(found, "new process", "index"), 1 / again),
    ]


def _unchanged(name: str, found: Figures, dvc_files: int = 0) -> list[Row]:
    floor = 2 * found["listing"] + dvc_files * _STAT
    return [
        Row(
            f"{name}: unchanged, 2 listings and 2 µs a .dvc file",
            found["unchanged"],
            floor,
            1,
        ),
        Row(
            f"{name}: unchanged with status, listing",
            *_of(found, "unchanged, with status", "listing"),
            None,
        ),
    ]


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
    for count in (sizes["few"], sizes["many"]):
        name = f"start_run to end_run, {count:,} stages"
        found = bench.figures(
            name, lambda at, n=count: projects.stages(at, n, with_data=True), ("runs",)
        )
        own = 1000 * (found["first"] - found["constant"])
        target = 1 if count == sizes["few"] else None
        rows += [
            Row(f"{name}: first run, the plugin's part, 15 ms", own, 15, target, "ms"),
            Row(f"{name}: the same tags for nothing", *_of(found, "with", "constant"), 1.05),
            Row(f"{name}: none", *_of(found, "with", "without"), None),
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

    def __init__(self, folder: Path, repeat: int, wait: float, turns: int) -> None:
        self._folder = folder
        self.repeat = repeat
        self._wait = wait
        self._turns = turns
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
        probes: tuple[str, ...],
    ) -> Figures:
        """The medians of what the probes find in a project."""
        print(f"… {name}", file=sys.stderr, flush=True)
        root = make(self._folder / "project")
        found: dict[str, list[float]] = defaultdict(list)
        try:
            for _ in range(self.repeat):
                time.sleep(self._wait)
                for probe in probes:
                    for key, value in self.probe(probe, str(root)).items():
                        found[key].append(value)
        finally:
            shutil.rmtree(self._folder / "project")
        return {key: statistics.median(values) for key, values in found.items()}

    def probe(self, what: str, root: str) -> Figures:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.probe", what, root, str(self._turns)],
            capture_output=True,
            text=True,
            check=False,
            env=self._env,
        )
        if done.returncode:
            raise RuntimeError(f"{what} of {root} exited {done.returncode}: {done.stderr}")
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        return figures
