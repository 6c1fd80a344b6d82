"""Record the golden set of a release: ``python -m tests.golden.record``.

It lives through the scenario with the plugin that this Python has, and writes
`tests/golden/sets/VERSION`. To record another one, put it on PYTHONPATH:

    pip install --no-deps --target OLD CHECKOUT
    PYTHONPATH=OLD python -m tests.golden.record --version LABEL --commit COMMIT
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.version import __version__
from tests.golden.scenario import Scenario
from tests.golden.sets import BUNDLE, FOLDER, REMOTE, STATE, GoldenRun, write_set

_PARENT = "mlflow.parentRunId"


def record(version: str, commit: str) -> Path:
    """Record the golden set of a version, made from a commit; its folder."""
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-golden-") as folder:
        scenario = Scenario(Path(folder))
        scenario.live()
        runs = _read_runs(scenario)
        return write_set(version, commit, runs, _read_data(scenario))


def _read_runs(scenario: Scenario) -> list[GoldenRun]:
    """The runs in the store of the scenario, in the order in which they started."""
    client = MlflowClient(scenario.store)
    found = client.search_runs(["0"], order_by=["attributes.start_time ASC"])
    runs = [
        GoldenRun(
            name=each.info.run_name,
            run_id=each.info.run_id,
            root=scenario.roots[each.info.run_name],
            tags={
                key: value
                for key, value in sorted(each.data.tags.items())
                if key.startswith("dvc.") or key == _PARENT
            },
            files=scenario.expected[each.info.run_name],
        )
        for each in found
        # Releases that could not save data recorded what it was before.
        if each.info.run_name != "saved" or each.data.tags.get("dvc.status") == "saved"
    ]
    assert {*scenario.expected} - {run.name for run in runs} <= {"saved"}, "a run is missing"
    for run in runs:
        assert "dvc.manifest" in run.tags or "dvc.manifest_run" in run.tags, run.tags
    return sorted(runs, key=lambda run: _PARENT in run.tags)


def _read_data(scenario: Scenario) -> dict[str, bytes]:
    """The repository, the exported state, and the objects of both caches as one remote."""
    bundle = scenario.folder / BUNDLE
    _run_git("bundle", "create", "-q", str(bundle), "--all", cwd=scenario.repo)
    data = {path.name: path.read_bytes() for path in (bundle, scenario.folder / STATE)}
    for project in (scenario.repo, scenario.repo / "large"):
        cache = project / ".dvc/cache"
        for path in cache.glob("files/md5/??/*"):
            data[f"{REMOTE}/{path.relative_to(cache).as_posix()}"] = path.read_bytes()
    return data


def _run_git(*args: str, cwd: Path = FOLDER.parent) -> str:
    done = subprocess.run(["git", *args], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--version", default=__version__, help="its name, by default this version")
    parser.add_argument("--commit", default=_run_git("rev-parse", "HEAD"), help="its commit")
    version, commit = vars(parser.parse_args()).values()
    if (FOLDER / version).exists():
        sys.exit(f"{FOLDER / version} exists. Delete it to record {version} again.")
    folder = record(version, commit)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"Recorded {folder}: {size:,} bytes. Commit it with the release.")  # noqa: T201


if __name__ == "__main__":
    main()
