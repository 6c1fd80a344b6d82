"""Questions about very many runs, against MLflow's own search for the same runs.

    python -m benchmarks.runs [--runs 100000] [--states 200] [--checked 10000]
                              [--old 1000] [--store postgresql|sqlite] [--repeat 3]
                              [--json FILE]

A private PostgreSQL (Debian: `apt-get install postgresql`; `pip install
psycopg2-binary`) in a temporary folder, on a Unix socket, behind a real `mlflow
server`. Each run has the tags that capture writes for one of the data states of
a real project, whose remote is served over HTTP by this process, which counts
the requests. `find` is asked about states of 100 outs, and about a file in one of
the folders, whose listings are in the cache; then also with some old runs that
have no index of hashes. When `check` is asked, nothing is in the cache, so that it
has to ask the remote for everything.

*ours* is a whole `mlflow-dvc` process, *theirs* a Python process that asks
MLflow for the runs of the same filter, page by page, and does nothing else.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from dvc.repo import Repo

from benchmarks.measure import interleaved, process
from mlflow_dvc_plugin.state import Entry

OTHERS = 97  # outs that `check` is not asked about
ALL, CHECKED, TENTH = "all", "checked", "a tenth of checked"
BARE = """\
import sys
from mlflow import MlflowClient
client, token = MlflowClient(), None
ids = [e.experiment_id for e in client.search_experiments()]
while True:
    page = client.search_runs(ids, sys.argv[1], max_results=1000, page_token=token,
                              order_by=["attributes.start_time DESC"])
    token = page.token
    if not token:
        break
"""
# A process that is forked off a large one counts as large: each tells its own peak instead.
WITH_PEAK = """\
import sys
from mlflow_dvc_plugin.cli import main
file = sys.argv.pop(1)
try:
    main(sys.argv[1:])
finally:
    (peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    open(file, "w").write(peak.split()[1])
"""
COLUMNS = {
    "runs": (
        *("run_uuid", "name", "source_type", "user_id", "status", "start_time", "end_time"),
        *("lifecycle_stage", "artifact_uri", "experiment_id"),
    ),
    "tags": ("key", "value", "run_uuid"),
    "latest_metrics": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
}
Tables = dict[str, list[tuple[Any, ...]]]
Tags = dict[str, str]


# -- the data states -------------------------------------------------------


def make_states(project: Path, remote: Path, count: int) -> tuple[list[Tags], list[Tags]]:
    """The tags of each state of a project of a file and two folders, all of it in the remote.

    The second ones are those of states that have 97 other outs, too.
    """
    from mlflow_dvc_plugin.capturing import capture

    project.mkdir()
    Repo.init(str(project), no_scm=True).close()
    small, large = [], []
    with Repo(str(project)) as repo:
        for state in range(count):
            (project / "labels.csv").write_text(f"labels {state}")
            for folder in ("train", "test"):
                (project / folder).mkdir(exist_ok=True)
                for number in range(5):
                    # Most files of a folder stay the same from one version to the next.
                    version = state if number == 0 else state // 10
                    (project / folder / f"{number}.csv").write_text(f"{folder} {number} {version}")
            repo.add([str(project / name) for name in ("labels.csv", "train", "test")])
            captured = capture(project)
            assert captured is not None
            small.append(captured.to_tags())
            entries = (*captured.entries, *make_others(state))
            large.append(captured._replace(entries=tuple(sorted(entries))).to_tags())
    shutil.copytree(project / ".dvc/cache", remote)
    return small, large


def make_others(state: int) -> Iterator[Entry]:
    """Outs of a state, of which a tenth changes from one to the next."""
    for number in range(OTHERS):
        path = f"views/{number:02}.parquet"
        value = md5(f"{path} {(state + number) // 10}")
        yield Entry(path, "md5", value, size=number * 1000, metafile=f"{path}.dvc")


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Remote(SimpleHTTPRequestHandler):
    """Serves a folder over HTTP, and counts what it is asked for."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path, project: Path) -> Iterator[Counter[str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Remote, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Repo(str(project)) as repo, repo.config.edit() as config:
        config["remote"]["store"] = {"url": f"http://127.0.0.1:{server.server_port}"}
        config["core"]["remote"] = "store"
    yield Remote.asked
    server.shutdown()


# -- the store -------------------------------------------------------------


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A private cluster; its SQLAlchemy address. PostgreSQL refuses to run as root."""
    programs = next(Path("/usr/lib/postgresql").glob("*/bin"))
    folder.mkdir(mode=0o755)
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    data = folder / "data"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "cwd": "/", **user}
    subprocess.run(
        [programs / "initdb", "-A", "trust", "-U", "bench", "-D", data], check=True, **quiet
    )
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(folder)]
    command += ["-c", "listen_addresses="]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, **quiet)
    try:
        while subprocess.run(
            [programs / "pg_isready", "-q", "-h", folder], check=False, **quiet
        ).returncode:
            time.sleep(0.1)
        yield f"postgresql+psycopg2://bench@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


@contextmanager
def mlflow_server(uri: str, folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", uri, "--workers", "1"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
        )
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                assert server.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.2)
        yield address
    finally:
        if server.poll() is None:
            # It may be at an answer that nobody waits for any more.
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(30)


def fill(uri: str, address: str, experiments: Mapping[str, tuple[int, Sequence[Tags]]]) -> int:
    """Write runs straight into the database: for each experiment so many, on these states."""
    from mlflow import MlflowClient

    client = MlflowClient(address)
    tables: Tables = {name: [] for name in COLUMNS}
    total = 0
    for experiment, (count, states) in experiments.items():
        experiment_id = client.create_experiment(experiment)
        for number in range(count):
            add_run(tables, experiment_id, 1_700_000_000_000 + total * 1000, total,
                    states[number % len(states)])  # fmt: skip
            total += 1
            if len(tables["runs"]) == 10_000:
                write(uri, tables)
    write(uri, tables)
    return total


def add_run(
    tables: Tables, experiment_id: str, start: int, number: int, tags: Mapping[str, str]
) -> None:
    run = uuid.uuid4().hex
    name = f"run-{number}"
    tables["runs"].append(
        (run, name, "LOCAL", "bench", "FINISHED", start, start + 500, "active", f"mem/{run}",
         experiment_id)
    )  # fmt: skip
    own = {
        "mlflow.runName": name,
        "mlflow.user": "bench",
        "mlflow.source.name": "train.py",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": "0" * 40,
    }
    tables["tags"] += [(key, value, run) for key, value in {**own, **tags}.items()]
    for metric in ("accuracy", "loss"):
        tables["latest_metrics"].append((metric, number % 997 / 997, start, 0, False, run))


def write(uri: str, tables: Tables) -> None:
    with opened(uri) as cursor:
        copy(uri, cursor, tables)
        if uri.startswith("postgresql"):
            cursor.execute("ANALYZE")


@contextmanager
def opened(uri: str) -> Iterator[Any]:
    """A cursor of the database, whose changes are kept."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    connection = engine.raw_connection()
    yield connection.cursor()
    connection.commit()
    connection.close()
    engine.dispose()


def drop_index(uri: str, count: int) -> None:
    """Make runs, spread over all, look like those of a release without the index of hashes."""
    with opened(uri) as cursor:
        cursor.execute(f"SELECT run_uuid FROM runs ORDER BY run_uuid LIMIT {count}")
        ids = ",".join(f"'{run_id}'" for (run_id,) in cursor.fetchall())
        cursor.execute(f"DELETE FROM tags WHERE key LIKE 'dvc.hashes%' AND run_uuid IN ({ids})")


def copy(uri: str, cursor: Any, tables: Tables) -> None:
    for table, rows in tables.items():
        columns = ",".join(COLUMNS[table])
        if uri.startswith("postgresql"):
            text = io.StringIO()
            csv.writer(text).writerows(rows)
            text.seek(0)
            cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN WITH CSV", text)
        else:
            marks = ",".join("?" * len(COLUMNS[table]))
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
        rows.clear()


# -- the questions ---------------------------------------------------------


def compare(
    project: Path, questions: Mapping[str, tuple[list[str], str]], repeat: int
) -> list[dict[str, Any]]:
    """Each way to ask, with MLflow's own search for the runs that it reads."""
    found = []
    for what, (options, clause) in questions.items():
        ours = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "find", *options, "--json"]
        samples = interleaved(
            {
                "ours": partial(process, ours, project, {}),
                "theirs": partial(process, [sys.executable, "-c", BARE, clause], project, {}),
            },
            repeat,
        )
        found.append(
            {
                "what": what,
                "ours": samples["ours"].median,
                "theirs": samples["theirs"].median,
                "adds": samples["ours"].median - samples["theirs"].median,
            }
        )
    return found


def list_questions(tags: Tags) -> dict[str, tuple[list[str], str]]:
    """The options of `find`, and the filter for the same runs."""
    data_hash, labels = tags["dvc.data_hash"], tags["dvc.data.labels.csv"]
    return {
        "find --data-hash": (
            ["--data-hash", data_hash],
            f"tags.`dvc.data_hash` = '{data_hash}'",
        ),
        "find --path --hash": (
            ["--path", "labels.csv", "--hash", labels],
            f"tags.`dvc.data.labels.csv` = '{labels}'",
        ),
        **list_hash_questions(tags),
    }


def list_hash_questions(tags: Tags, suffix: str = "") -> dict[str, tuple[list[str], str]]:
    labels, train = tags["dvc.data.labels.csv"], tags["dvc.data.train"]
    return {
        f"find --hash{suffix}": (
            ["--hash", labels],
            f"tags.`dvc.hashes` LIKE '%{labels[:8]}%'",
        ),
        f"find --hash, a file in a folder{suffix}": (
            ["--hash", md5("train 0 0")],
            f"tags.`dvc.hashes` LIKE '%{train[:8]}%'",
        ),
    }


def time_folders(project: Path) -> dict[str, Any]:
    """The local part of `find --hash`: to look into all listings of the cache."""
    from mlflow_dvc_plugin.dvc.project import DvcProject
    from mlflow_dvc_plugin.lineage.search.hash_lookup import HashLookup
    from mlflow_dvc_plugin.progress import Progress

    started = time.perf_counter()
    with closing(DvcProject(str(project))) as dvc:
        lookup = HashLookup([md5("train 0 0")], dvc)
        lookup.find_folders(Progress())
        count = lookup.listings
    return {
        "what": f"the local look into {count} listings",
        "seconds": time.perf_counter() - started,
    }


def index(project: Path, count: int) -> dict[str, Any]:
    """Index the runs that lack it."""
    command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "backfill", "--index"]
    seconds, peak = process(command, project, {})
    return {"what": f"backfill --index, {count:,} runs", "seconds": seconds, "peak": peak}


def check(project: Path, experiment: str, asked: Counter[str]) -> dict[str, Any]:
    """One check of an experiment: time, peak memory, and what the remote was asked."""
    asked.clear()
    file = project.parent / "peak"
    command = [sys.executable, "-c", WITH_PEAK, str(file), "check", "--experiment", experiment]
    seconds, _ = process(command, project, {})
    return {
        "what": f"check, {experiment}",
        "seconds": seconds,
        "peak": int(file.read_text()) * 1024,
        "objects": len(asked),
        "requests": sum(asked.values()),
    }


def measure(
    folder: Path, *, runs: int, states: int, checked: int, old: int, store: str, repeat: int
) -> dict[str, Any]:
    """Build everything in `folder`, and ask all questions."""
    project, remote = folder / "project", folder / "remote"
    os.environ.update(
        DVC_SITE_CACHE_DIR=str(folder / "site"),
        DVC_NO_ANALYTICS="1",
        MLFLOW_DISABLE_TELEMETRY="true",
        PYTHONPATH=os.getcwd(),
    )
    small, large = make_states(project, remote, states)
    with ExitStack() as stack:
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        if store == "postgresql":
            uri = stack.enter_context(postgresql(folder / "postgresql"))
        address = stack.enter_context(mlflow_server(uri, folder))
        counts = {CHECKED: (checked, small), TENTH: (checked // 10, small)}
        counts = {ALL: (runs - checked - checked // 10, large), **counts}
        total = fill(uri, address, counts)
        os.environ["MLFLOW_TRACKING_URI"] = address
        asked = stack.enter_context(served(remote, project))
        finds, others = [], []
        if repeat:
            finds = compare(project, list_questions(large[0]), repeat)
            others.append(time_folders(project))
        if old:
            drop_index(uri, old)
            questions = list_hash_questions(large[0], f", {old:,} old runs")
            finds += compare(project, questions, repeat)
            drop_index(uri, 10 * old)
            others.append(index(project, 10 * old))
        shutil.rmtree(project / ".dvc/cache")
        checks = [check(project, experiment, asked) for experiment in (TENTH, CHECKED)]
    return {"runs": total, "states": states, "finds": finds, "others": others, "checks": checks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--states", type=int, default=200)
    parser.add_argument("--checked", type=int, help="runs that check looks at [a tenth]")
    parser.add_argument("--old", type=int, default=1000, help="runs without an index of hashes")
    parser.add_argument("--store", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-bench-") as folder:
        os.chmod(folder, 0o755)
        checked = chosen.checked or chosen.runs // 10
        result = measure(
            Path(folder),
            runs=chosen.runs,
            states=chosen.states,
            checked=checked,
            old=chosen.old,
            store=chosen.store,
            repeat=chosen.repeat,
        )
    print(f"{result['runs']:,} runs of {result['states']} data states, {chosen.store}")
    print(f"{'':40} {'ours':>9} {'theirs':>9} {'adds':>9}")
    for row in result["finds"]:
        print(f"{row['what']:40} {row['ours']:7.2f} s {row['theirs']:7.2f} s "
              f"{row['adds']:7.2f} s")  # fmt: skip
    for row in result["others"]:
        print(f"{row['what']:40} {row['seconds']:7.2f} s")
    for row in result["checks"]:
        print(f"{row['what']:40} {row['seconds']:7.2f} s, {row['requests']:,} requests for "
              f"{row['objects']:,} objects, peak {row['peak'] / 1e6:.0f} MB")  # fmt: skip
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
