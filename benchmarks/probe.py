"""What the benchmarks of capture time, each in a process of its own.

    python -m benchmarks.probe WHAT PROJECT [TURNS]

prints seconds (and bytes) by name, as one line of JSON. What is quick is timed TURNS
times.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

TURNS = int(sys.argv[3]) if sys.argv[3:] else 30


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def capture(root: str) -> dict[str, float]:
    """Capture where nothing was ever captured, and then again."""
    shutil.rmtree(Path(root, ".dvc", "tmp", "mlflow-dvc"), ignore_errors=True)
    state = _capture(root)
    before = _peak()
    found = {"first": timed(lambda: state(0))}
    found["memory"] = _peak() - before
    again = [timed(lambda: state(0)) for _ in range(TURNS)]
    found["unchanged"] = statistics.median(again)
    found["with status"] = timed(state)
    found["unchanged, with status"] = statistics.median(timed(state) for _ in range(TURNS))
    return found


def recapture(root: str) -> dict[str, float]:
    """Capture in a new process, after another one captured the same."""
    state = _capture(root)
    return {"new process": timed(lambda: state(0))}


def change(root: str) -> dict[str, float]:
    """Capture after one entry of ``dvc.lock`` changed."""
    state = _capture(root)
    state(0)
    lock = Path(root, "dvc.lock")
    text = lock.read_text()
    at = text.rindex("md5: ") + len("md5: ")
    lock.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
    try:
        time.sleep(0.3)  # what was written this moment is waited for
        return {"one changed": timed(lambda: state(0))}
    finally:
        lock.write_text(text)


def _capture(root: str) -> Callable[..., str]:
    """What a training job calls; it has imported MLflow, but nothing of the plugin."""
    import mlflow  # noqa: F401

    mine = [name for name in sys.modules if name.startswith("mlflow_dvc_plugin.capturing")]
    assert not mine, mine

    def state(budget_ms: int = 100) -> str:
        from mlflow_dvc_plugin.capturing import capture
        from mlflow_dvc_plugin.settings import Settings

        found = capture(root, Settings(status_budget_ms=budget_ms))
        assert found is not None
        return found.data_hash

    return state


def index(root: str) -> dict[str, float]:
    """DVC's own index."""
    from dvc.repo import Repo

    return {"index": timed(lambda: list(Repo(root).index.outs))}


def floor(root: str) -> dict[str, float]:
    """Listing the folders that DVC would, and reading the metafiles' bytes."""
    found = {"floor": timed(lambda: floor_reading(root))}
    found["listing"] = statistics.median(timed(lambda: listing(root)) for _ in range(TURNS))
    return found


def listing(root: str) -> list[str]:
    """The metafiles below a folder, without what every project here ignores."""
    found, pending = [], [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for item in entries:
                name = item.name
                if item.is_dir():
                    if name not in (".git", ".dvc", ".venv", "node_modules", "images"):
                        pending.append(item.path)
                elif name.endswith(".dvc") or name in ("dvc.yaml", "dvc.lock"):
                    found.append(item.path)
    return found


def floor_reading(root: str) -> list[bytes]:
    found = []
    for path in listing(root):
        with open(path, "rb", buffering=0) as file:
            found.append(file.read())
    return found


def runs(root: str) -> dict[str, float]:
    """``start_run`` to ``end_run``: with the plugin, without, and with its tags for free."""
    os.chdir(root)
    shutil.rmtree(Path(".dvc", "tmp", "mlflow-dvc"), ignore_errors=True)  # as in a fresh clone
    os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"
    import mlflow
    from mlflow.tracking.context import registry
    from mlflow.tracking.context.abstract_context import RunContextProvider

    providers = registry._run_context_provider_registry._registry
    ours = [each for each in providers if type(each).__name__ == "DvcRunContext"]
    others = [each for each in providers if each not in ours]
    assert ours, "the plugin is not installed here"
    known: dict[str, str] = {}

    class Constant(RunContextProvider):  # type: ignore[misc]
        def in_context(self) -> bool:
            return True

        def tags(self) -> dict[str, str]:
            return known

    contenders = {"without": others, "with": others + ours, "constant": [*others, Constant()]}

    def run() -> None:
        with mlflow.start_run():
            pass

    providers[:] = others
    run()  # makes the database
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(3 * TURNS):
        for name, chosen in contenders.items():
            providers[:] = chosen
            took = timed(run)
            if turn or name == "with":
                found[name].append(took)
        if not turn:
            known.update(ours[0].tags())
    first = found["with"].pop(0)
    medians = {name: statistics.median(times) for name, times in found.items()}
    return {**medians, "first": first}


def imports(_: str) -> dict[str, float]:
    """``import mlflow`` without the plugin, and then what MLflow would load of it."""
    every: Any = metadata.entry_points
    groups = (
        "mlflow.run_context_provider",
        "mlflow.dataset_source",
        "mlflow.dataset_constructor",
        "mlflow.artifact_repository",
    )
    ours = [
        each
        for group in groups
        for each in every(group=group)
        if each.value.startswith("mlflow_dvc_plugin")
    ]

    def others(**params: Any) -> Any:
        return [each for each in every(**params) if each not in ours]

    metadata.entry_points = others
    found = {"import": timed(lambda: __import__("mlflow"))}
    assert not any(name.startswith("mlflow_dvc_plugin") for name in sys.modules)
    return {**found, "own": timed(lambda: [each.load() for each in ours])}


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)


PROBES: dict[str, Callable[[str], dict[str, float]]] = {
    probe.__name__: probe for probe in (capture, recapture, change, index, floor, runs, imports)
}

if __name__ == "__main__":
    print("\n" + json.dumps(PROBES[sys.argv[1]](sys.argv[2])))
