"""Restore against DVC: same project, same remote, same link type, in one run.

    python -m benchmarks.restore [--scale 0.01] [--repeat 3] [--json FILE]

Restore's time is that of its whole process less that of a process that only
asks MLflow for the run as restore does, since that part is MLflow's own, and
that ends at once, as restore does, and without taking MLflow apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dvc.repo import Repo

from benchmarks.measure import Row, interleaved, process, table

GET_RUN = """
import os, sys
from mlflow_dvc_plugin.tracking.lookup import get_run
get_run(sys.argv[2], sys.argv[1])
os._exit(0)
"""


class Bench:
    """A project, a remote, a store with one run, and ways to run all three contenders."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "project"
        self.path.mkdir(parents=True)
        git("init", "-q", cwd=self.path)
        self.remote = folder / "remote"
        self.lost = folder / "lost"
        self.store = f"sqlite:///{folder / 'mlflow.db'}"
        self.env = {
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "DVC_NO_ANALYTICS": "1",
            "HOME": str(folder),
            "MLFLOW_TRACKING_URI": self.store,
            "PYTHONPATH": os.getcwd(),
        }
        os.environ.update(self.env)
        Repo.init(str(self.path)).close()
        with Repo(str(self.path)) as repo, repo.config.edit() as config:
            config["remote"]["store"] = {"url": str(self.remote)}
            config["core"]["remote"] = "store"
        self.run_id = ""

    def add(self, *names: str) -> None:
        with Repo(str(self.path)) as repo:
            repo.add([str(self.path / name) for name in names])

    def push(self) -> None:
        with Repo(str(self.path)) as repo:
            repo.push()

    def record(self) -> None:
        from mlflow import MlflowClient

        from mlflow_dvc_plugin.capturing import capture
        from mlflow_dvc_plugin.capturing.commit_state import add_commit_entries

        git("add", "-A", cwd=self.path)
        git("commit", "-q", "-m", "benchmark", cwd=self.path)
        state = capture(self.path)
        assert state is not None
        tags = add_commit_entries(state).to_tags()
        self.run_id = MlflowClient(self.store).create_run("0", tags=tags).info.run_id

    def run(self, *command: str) -> tuple[float, int]:
        return process([sys.executable, *command], self.path, self.env)

    def compare(
        self,
        what: str,
        dvc: tuple[str, ...],
        prepare: Callable[[], None],
        *,
        target: float,
        repeat: int,
        paths: tuple[str, ...] = (),
        memory: bool = False,
    ) -> Row:
        """One row: `mlflow-dvc restore` against a `dvc` command, each after `prepare`."""

        def ready() -> None:
            prepare()
            # What was written before is not to be paid for by whoever comes next.
            os.sync()

        def ours() -> tuple[float, int]:
            ready()
            return self.run("-m", "mlflow_dvc_plugin.cli", "restore", self.run_id, *paths)

        def theirs() -> tuple[float, int]:
            ready()
            return self.run("-m", "dvc", *dvc)

        def base() -> tuple[float, int]:
            return self.run("-c", GET_RUN, self.store, self.run_id)

        found = interleaved({"ours": ours, "theirs": theirs, "base": base}, repeat)
        if memory:
            mine, other = found["ours"].median_peak / 1e6, found["theirs"].median_peak / 1e6
            return Row(what, mine, other, target, "MB")
        mine = found["ours"].median - found["base"].median
        return Row(what, mine, found["theirs"].median, target)

    def lose(self, *names: str) -> None:
        """Have paths gone as in a fresh clone: set aside, not deleted.

        For minutes a file system passes over the inodes of deleted files, one
        by one, so that each new file costs ten times as much.
        """
        self.lost.mkdir(exist_ok=True)
        for name in names:
            path = self.path / name
            if path.exists():
                aside = self.lost / str(time.monotonic_ns())
                path.rename(aside)
                for file in [aside, *aside.rglob("*")]:
                    if file.is_file() and file.stat().st_size > 1_000_000:
                        file.chmod(0o644)
                        os.truncate(file, 0)


def git(*arguments: str, cwd: Path) -> None:
    who = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost")
    subprocess.run(["git", *who, *arguments], cwd=cwd, check=True)


def many_files(folder: Path, count: int, size: int = 200) -> None:
    for number in range(count):
        target = folder / f"{number % 100:02d}" / f"{number}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"%d " % number + b"x" * size)


def small_and_large(root: Path, scale: float, repeat: int) -> list[Row]:
    files, large = max(10, int(10_000 * scale)), max(1, int(512 * scale))
    bench = Bench(root)
    many_files(bench.path / "small", files)
    with (bench.path / "large.bin").open("wb") as file:
        for number in range(large):
            file.write(number.to_bytes(4, "big") * (1024 * 256))
    bench.add("small", "large.bin")
    bench.push()
    bench.record()
    name = f"{files:,} files and {large} MB"

    def cold() -> None:
        bench.lose("small", "large.bin", ".dvc/cache")

    def warm() -> None:
        bench.lose("small", "large.bin")

    return [
        bench.compare(
            f"{name}, empty cache, against dvc pull",
            ("pull", "-q"),
            cold,
            target=0.7,
            repeat=repeat,
        ),
        bench.compare(
            f"{name}, warm cache, against dvc checkout",
            ("checkout", "-q"),
            warm,
            target=0.5,
            repeat=repeat,
        ),
        bench.compare(
            f"{name}, nothing to do, against dvc pull",
            ("pull", "-q"),
            lambda: None,
            target=0.4,
            repeat=repeat,
        ),
    ]


def one_of_many_stages(root: Path, scale: float, repeat: int) -> list[Row]:
    stages = max(20, int(10_000 * scale))
    bench = Bench(root)
    bench.path.joinpath("one.csv").write_text("1")
    bench.add("one.csv")
    bench.push()
    lines, lock = ["stages:\n"], ["schema: '2.0'\nstages:\n"]
    for number in range(stages):
        lines.append(f"  s{number}:\n    cmd: echo {number}\n    outs: [out/{number}.txt]\n")
        lock.append(
            f"  s{number}:\n    cmd: echo {number}\n    outs:\n    - path: out/{number}.txt\n"
            f"      hash: md5\n      md5: f{number:031x}\n      size: 3\n"
        )
    (bench.path / "dvc.yaml").write_text("".join(lines))
    (bench.path / "dvc.lock").write_text("".join(lock))
    bench.record()
    return [
        bench.compare(
            f"one file of {stages:,} stages, against dvc pull FILE",
            ("pull", "-q", "one.csv"),
            lambda: bench.lose("one.csv", ".dvc/cache"),
            target=0.05,
            repeat=repeat,
            paths=("one.csv",),
        )
    ]


def few_of_a_large_folder(root: Path, scale: float, repeat: int) -> list[Row]:
    files, changed = max(100, int(100_000 * scale)), max(5, int(100 * scale))
    bench = Bench(root)
    many_files(bench.path / "folder", files, size=20)
    bench.add("folder")
    bench.record()
    metafile = (bench.path / "folder.dvc").read_bytes()
    for number in range(changed):
        target = bench.path / "folder" / f"{number % 100:02d}" / f"{number}.txt"
        target.unlink()
        target.write_text(f"changed {number}")
    bench.add("folder")
    second = (bench.path / "folder.dvc").read_bytes()

    def to_the_second() -> None:
        (bench.path / "folder.dvc").write_bytes(second)
        with Repo(str(bench.path)) as repo:
            repo.checkout(force=True)

    def prepare() -> None:
        to_the_second()
        # `dvc checkout` goes by the metafile; restore writes it itself.
        (bench.path / "folder.dvc").write_bytes(metafile)

    return [
        bench.compare(
            f"{changed} changed of {files:,} files, warm cache, against dvc checkout",
            ("checkout", "-q"),
            prepare,
            target=0.5,
            repeat=repeat,
        )
    ]


def memory_of_a_large_folder(root: Path, scale: float, repeat: int) -> list[Row]:
    entries = max(1000, int(1_000_000 * scale))
    bench = Bench(root)
    many_files(bench.path / "folder", entries, size=0)
    bench.add("folder")
    bench.record()
    gone = {f"one of {entries:,} files": "folder/00/0.txt", f"all of {entries:,} files": "folder"}
    return [
        bench.compare(
            f"peak memory, {what} gone, against dvc checkout",
            ("checkout", "-q"),
            partial(bench.lose, name),
            target=0.7,
            repeat=repeat,
            memory=True,
        )
        for what, name in gone.items()
    ]


BENCHMARKS = {
    "files": small_and_large,
    "stages": one_of_many_stages,
    "changed": few_of_a_large_folder,
    "memory": memory_of_a_large_folder,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="1 for the full size")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is timed")
    parser.add_argument("--json", type=Path, help="where to write the rows as JSON")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.which or BENCHMARKS:
            root = Path(folder) / name
            found = BENCHMARKS[name](root, args.scale, args.repeat)
            print(table(found), flush=True)
            rows += found
            shutil.rmtree(root)
    print()
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps([row.to_dict() for row in rows], indent=2))


if __name__ == "__main__":
    main()
