"""Can runs be restored: is each object in the cache, in the remote, or nowhere?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.git import is_commit
from mlflow_dvc_plugin.lineage.retention.availability import Stock, Whereabouts
from mlflow_dvc_plugin.lineage.run_states import Entries, States
from mlflow_dvc_plugin.lineage.workspace import root_of
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.tracking import Run, find_run, search_runs

_SHOWN = 3


@dataclass(frozen=True)
class CheckedOut:
    """Where the data of one out of a run is.

    Attributes:
        path: relative to the project.
        hash: its hash.
        cache: all of it is in the cache.
        remote: all of it is in the remote; None if the remote cannot be asked.
        missing: its files that are in neither, nor where an import came from:
            the path itself, or members.
        unknown: why it is not known whether some of it is missing.
        source: the place that it was imported from has it.
    """

    path: str
    hash: str
    cache: bool
    remote: bool | None
    missing: tuple[str, ...] = ()
    unknown: str = ""
    source: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        document: dict[str, Any] = {
            "path": self.path,
            "hash": self.hash,
            "cache": self.cache,
            "remote": self.remote,
            "missing": list(self.missing),
        }
        if self.source:
            document["source"] = True
        return document


@dataclass(frozen=True)
class Verdict:
    """Could a state be restored?

    Attributes:
        restorable: None if it cannot be known.
        reason: why not, or why it is not known; empty if it can be restored.
        outs: where each out is.
    """

    restorable: bool | None
    reason: str
    outs: tuple[CheckedOut, ...] = ()


@dataclass(frozen=True)
class CheckedRun:
    """Could a run be restored?

    Attributes:
        run_id: the run.
        run_name: its name.
        verdict: the answer for what was recorded, shared by runs of the same state.
        modified: paths that held something else when the run started, which
            nobody recorded.
    """

    run_id: str
    run_name: str
    verdict: Verdict
    modified: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        document: dict[str, Any] = {
            "run_id": self.run_id,
            "restorable": self.verdict.restorable,
            "reason": self.verdict.reason,
            "entries": [out.to_dict() for out in self.verdict.outs],
        }
        if self.modified:
            document["modified"] = list(self.modified)
        return document


def check(
    runs: Sequence[str] = (),
    *,
    experiments: Sequence[str] = (),
    tracking_uri: str | None = None,
    project: str | None = None,
    progress: Progress | None = None,
) -> Iterator[CheckedRun]:
    """Look where the data of runs is, each object once for all of them.

    What is in a remote is judged by its name there, as DVC does; what is in
    the cache, by its bytes. Imports that neither has are looked for where they
    came from, and cloud-versioned outs by their versions, as DVC would: no data
    is downloaded.

    Args:
        runs: what :func:`~mlflow_dvc_plugin.tracking.find_run` takes.
        experiments: names of experiments, all of whose runs are checked.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.
        progress: hears of runs and objects.

    Raises:
        MlflowDvcError: there is no such run or experiment, or no project.
    """
    root = root_of(project)
    progress = progress or Progress()
    found: Iterable[Run] = [find_run(text, tracking_uri) for text in runs]
    if experiments:
        found = search_runs((), experiments, tracking_uri)
    states = States(root)
    read: list[tuple[Run, Entries | str]] = []
    progress.begin("Reading runs", 0)
    for run in found:
        read.append((run, states.read(run)))
        progress.advance(files=1)
    distinct = {id(s): s for _, s in read if not isinstance(s, str)}
    dvc = DvcProject(root)
    try:
        stock = Stock(dvc, (e for s in distinct.values() for e in s if _is_data(e)), progress)
        verdicts: dict[tuple[int, str | None], Verdict] = {}
        for run, state in read:
            if isinstance(state, str):
                yield CheckedRun(run.run_id, run.name, Verdict(False, state), run.modified)
                continue
            plain = all(e.kind == "plain" for e in state)
            named = run.tags.get("dvc.git_commit", "")
            commit = named if not plain and is_commit(named) else None
            key = id(state), commit
            if key not in verdicts:
                verdicts[key] = judge((e, stock.of(e, commit)) for e in state if _is_data(e))
            yield CheckedRun(run.run_id, run.name, verdicts[key], run.modified)
    finally:
        dvc.close()


def judge(outs: Iterable[tuple[Entry, Whereabouts]]) -> Verdict:
    """What the whereabouts of a state's outs mean for the whole."""
    checked = tuple(CheckedOut(e.path, str(e.hash), *where) for e, where in outs)
    lost = [path for out in checked for path in out.missing]
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        text = f"neither in the cache nor in the remote: {', '.join(lost[:_SHOWN])}{more}"
        return Verdict(False, text, checked)
    doubtful = [out for out in checked if out.unknown]
    if doubtful:
        more = f", and {len(doubtful) - 1} more" if len(doubtful) > 1 else ""
        return Verdict(None, f"{doubtful[0].path}: {doubtful[0].unknown}{more}", checked)
    return Verdict(True, "", checked)


def _is_data(entry: Entry) -> bool:
    return entry.cached and entry.hash is not None
