"""Reading a run's files from S3 against `dvc get` and s3fs: same objects, same server, in turn.

    python -m benchmarks.reading [--scale 0.01] [--repeat 3] [--json FILE]

The server is moto's, on this machine. It takes most of the time, and is the same for all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Row, interleaved, table

_FILES = 10_000
_LARGE_MB = 512


@contextmanager
def _serve_s3(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while True:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


class Bench:
    """A project with many small files and a large one, which only S3 has, and its run."""

    def __init__(self, folder: Path, s3: str, scale: float) -> None:
        from dvc.repo import Repo

        from mlflow_dvc_plugin.capturing import capture
        from mlflow_dvc_plugin.tracking import Run

        os.environ.update(
            AWS_ACCESS_KEY_ID="testing",
            AWS_SECRET_ACCESS_KEY="testing",
            AWS_DEFAULT_REGION="us-east-1",
            AWS_ENDPOINT_URL=s3,
            DVC_NO_ANALYTICS="1",
            DVC_SITE_CACHE_DIR=str(folder / "site"),
        )
        self.s3 = s3
        self.folder = folder
        self.project = folder / "project"
        numbers = random.Random(0)
        (self.project / "small").mkdir(parents=True)
        for number in range(max(1, int(_FILES * scale))):
            data = numbers.randbytes(numbers.randrange(1_000, 10_000))
            (self.project / f"small/{number}").write_bytes(data)
        with (self.project / "large").open("wb") as file:
            for _ in range(max(1, int(_LARGE_MB * scale))):
                file.write(numbers.randbytes(1 << 20))
        Repo.init(str(self.project), no_scm=True).close()
        with Repo(str(self.project)) as repo:
            with repo.config.edit() as config:
                config["remote"]["s3"] = {"url": "s3://bench/dvc", "endpointurl": s3}
                config["core"]["remote"] = "s3"
            repo.add([str(self.project / "small"), str(self.project / "large")])
        self._upload()
        state = capture(self.project)
        assert state is not None
        self.run = Run("1" * 32, "bench", "0", 0, state.to_tags())

    def _upload(self) -> None:
        import s3fs

        files = s3fs.S3FileSystem(endpoint_url=self.s3)
        files.mkdir("bench")
        cache = self.project / ".dvc/cache"
        paths = [path for path in (cache / "files").rglob("*") if path.is_file()]
        keys = {str(path): f"bench/dvc/{path.relative_to(cache).as_posix()}" for path in paths}
        files.put(list(keys), list(keys.values()))
        shutil.rmtree(cache)
        for name in ("small", "large"):
            path = self.project / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def compare(self, name: str, what: str, repeat: int) -> list[Row]:
        """One row against `dvc get`, and one against s3fs."""
        out = self.folder / "out"

        def timed(work: Callable[[str], None]) -> Callable[[], tuple[float, int]]:
            def call() -> tuple[float, int]:
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                os.sync()
                started = time.perf_counter()
                work(name)
                return time.perf_counter() - started, 0

            return call

        contenders = {"ours": self._ours, "dvc": self._dvc, "s3fs": self._s3fs}
        found = interleaved({key: timed(work) for key, work in contenders.items()}, repeat)
        ours = found["ours"].median
        return [
            Row(f"{what}, against dvc get", ours, found["dvc"].median, 1.1),
            Row(f"{what}, against s3fs", ours, found["s3fs"].median, 1.1),
        ]

    def _ours(self, name: str) -> None:
        from mlflow_dvc_plugin import filesystem

        filesystem(self.run, "s3://bench/dvc").get(name, f"{self.folder}/out/x", recursive=True)

    def _dvc(self, name: str) -> None:
        from dvc.repo import Repo

        Repo.get(str(self.project), name, out=str(self.folder / "out/x"))

    def _s3fs(self, name: str) -> None:
        """What someone would write who knows the objects' keys: nothing is verified."""
        import s3fs

        files = s3fs.S3FileSystem(endpoint_url=self.s3, skip_instance_cache=True)
        keys = [self._key(self._hash(name))]
        targets = [f"{self.folder}/out/x"]
        if name == "small":
            rows = json.loads(files.cat(keys[0]))
            keys = [self._key(row["md5"]) for row in rows]
            targets = [f"{self.folder}/out/x/{row['relpath']}" for row in rows]
        files.get(keys, targets)

    def _hash(self, name: str) -> str:
        return self.run.tags[f"dvc.data.{name}"]

    @staticmethod
    def _key(value: str) -> str:
        return f"bench/dvc/files/md5/{value[:2]}/{value[2:]}"


def measure(folder: Path, scale: float, repeat: int) -> list[Row]:
    """All rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with _serve_s3(folder) as s3:
        bench = Bench(folder, s3, scale)
        rows = bench.compare("small", f"{int(_FILES * scale):,} small files from S3", repeat)
        return rows + bench.compare(
            "large", f"{max(1, int(_LARGE_MB * scale))} MB in one file", repeat
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1 for the full size")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is timed")
    parser.add_argument("--json", type=Path, help="where to write the rows as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), args.scale, args.repeat)
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps([row.to_dict() for row in rows], indent=2))


if __name__ == "__main__":
    main()
