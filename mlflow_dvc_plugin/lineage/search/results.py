"""The results of a search for runs by their data, and the history of one out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.lineage.recorded_states import Role
from mlflow_dvc_plugin.lineage.result import Result
from mlflow_dvc_plugin.tracking import Run
from mlflow_dvc_plugin.tracking.models import Model

# A path, its hash, and whether the run used it or made it.
Match = tuple[str, str, Role]


@dataclass(frozen=True)
class FoundRun(Result):
    """A run that used or made the data of a search.

    Attributes:
        start_time: milliseconds since 1970 (UTC).
        paths: the paths by which it matches, sorted.
        modified: those of the paths that are, or are in, an out that was modified
            when the run started: no place recorded what the run read.
        changed: the same of those whose data changed while the run was running.
        models: the models that come from it; None if they were not asked for.
    """

    optional = ("modified", "changed", "models")

    run_id: str
    run_name: str
    experiment_id: str
    start_time: int
    data_hash: str | None
    paths: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    modified: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    models: list[Model] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        if self.models is None:
            return super().to_dict()
        return {**super().to_dict(), "models": [model.to_dict() for model in self.models]}


@dataclass(frozen=True)
class SearchResult:
    """The runs of a search, the newest first, and what limits it.

    Attributes:
        unread_runs: how many other runs may match: their recorded states cannot
            be read.
        unread_folders: folders whose listings cannot be read, and why.
        unsearched: what else was not searched, and why.
        listings: how many listings of folders were searched; None if none had to be.
        one_by_one: how many runs had to be read one by one, because the index of their hashes
            is missing or does not have all.
        unverified: paths whose hash comes from a metafile although the data may
            differ, and why.
    """

    runs: list[FoundRun]
    unread_runs: int = 0
    unread_folders: Mapping[str, str] = field(default_factory=dict)
    unsearched: Mapping[str, str] = field(default_factory=dict)
    listings: int | None = None
    one_by_one: int = 0
    unverified: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_certain(self) -> bool:
        """Did nothing limit the search?"""
        limits = (self.unread_runs, self.unread_folders, self.unsearched, self.unverified)
        return not any(limits) and self.listings is None


@dataclass(frozen=True)
class OutVersion(Result):
    """One version of an out, and when its first and last run started (ms since 1970, UTC).

    Attributes:
        best: the best value of the chosen metric; None if no run has it. Runs on
            a modified out, and runs during which it changed, do not count.
        modified: those of the runs that recorded this version, but started when
            the out was modified: no place recorded what they read.
        changed: those of the runs during which the out changed.
    """

    hash: str
    first: int
    last: int
    run_ids: list[str] = field(default_factory=list)
    best: float | None = None
    modified: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


class RunCollector:
    """Collects runs that match, each once."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._metrics = metrics
        self._found: dict[str, FoundRun] = {}
        self._unread: set[str] = set()

    def add_run(self, run: Run, matches: Iterable[Match]) -> None:
        """Add a run by the paths by which it matches: none if it does not match."""
        for path, value, role in matches:
            found = self._found.get(run.run_id)
            if found is None:
                scores = {name: run.metrics[name] for name in self._metrics if name in run.metrics}
                found = self._found[run.run_id] = FoundRun(
                    run.run_id,
                    run.name,
                    run.experiment_id,
                    run.start_time,
                    run.tags.get("dvc.data_hash"),
                    metrics=scores,
                    modified=list(run.modified),
                    changed=list(run.changed),
                )
            if path not in found.roles:
                found.paths.append(path)
            found.roles[path] = role
            found.hashes[path] = value

    def add_unread(self, run: Run) -> None:
        """Add a run that may match: its recorded state cannot be read."""
        self._unread.add(run.run_id)

    def to_result(self, **limits: Any) -> SearchResult:
        """The result, when all runs were added; `limits` are attributes of it."""
        runs = sorted(self._found.values(), key=lambda found: (-found.start_time, found.run_id))
        for found in runs:
            found.paths.sort()
            used = [path for path in found.paths if found.roles[path] == "input"]
            found.modified[:] = _select_inside(used, found.modified)
            found.changed[:] = _select_inside(used, found.changed)
        unread_runs = len(self._unread - self._found.keys())
        return SearchResult(runs, unread_runs, **limits)


def _select_inside(paths: Iterable[str], outs: Iterable[str]) -> list[str]:
    """The paths that are one of the outs, or are in one.

    The outs come from a tag that commas separate, so a path with a comma is in parts.
    """
    joined = f",{','.join(outs)},"
    selected = []
    for path in paths:
        parts = path.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
        if any(each and f",{each}," in joined for each in above):
            selected.append(path)
    return selected


def group_by_version(
    runs: Iterable[FoundRun], path: str, metric: str | None = None, minimize: bool = False
) -> list[OutVersion]:
    """The distinct versions of an out that runs used or made, in the order of their first runs."""
    better = min if minimize else max
    by_hash: dict[str, list[FoundRun]] = {}
    for run in sorted(runs, key=lambda run: (run.start_time, run.run_id)):
        by_hash.setdefault(run.hashes[path], []).append(run)
    found = []
    for value, some in by_hash.items():
        modified = [run.run_id for run in some if path in run.modified]
        changed = [run.run_id for run in some if path in run.changed]
        metrics = [run.metrics for run in some if run.run_id not in (*modified, *changed)]
        scores = [each[metric] for each in metrics if metric in each] if metric else []
        scores = [score for score in scores if not math.isnan(score)]
        found.append(
            OutVersion(
                value,
                some[0].start_time,
                some[-1].start_time,
                [run.run_id for run in some],
                better(scores) if scores else None,
                modified,
                changed,
            )
        )
    return found
