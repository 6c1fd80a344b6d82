"""The history of one out: its versions over the runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from mlflow_dvc_plugin.lineage.result import Result
from mlflow_dvc_plugin.lineage.search.results import FoundRun


@dataclass(frozen=True)
class OutVersion(Result):
    """One version of an out, and when its first and last run started (ms since 1970, UTC).

    Attributes:
        best: the best value of the chosen metric; None if no run has it. Runs on
            a modified out do not count.
        modified: those of the runs that recorded this version, but started when
            the out was modified: no place recorded what they read.
    """

    hash: str
    first: int
    last: int
    run_ids: list[str] = field(default_factory=list)
    best: float | None = None
    modified: list[str] = field(default_factory=list)


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
        metrics = [run.metrics for run in some if run.run_id not in modified]
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
            )
        )
    return found
