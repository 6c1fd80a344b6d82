"""The versions that one out went through, over the runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.lineage.search.find import find
from mlflow_dvc_plugin.lineage.search.results import Findings, FoundRun
from mlflow_dvc_plugin.progress import Progress


@dataclass(frozen=True)
class Version:
    """One version of an out.

    Attributes:
        hash: its hash.
        first: start of the first run that used or made it, in milliseconds
            since 1970 (UTC).
        last: start of the last one.
        run_ids: the runs, the oldest first.
        best: the best value of the chosen metric among those that read just
            this; None if none has it.
        modified: the runs for which this was recorded, but whose workspace was
            proven to hold something else there: nobody recorded what.
    """

    hash: str
    first: int
    last: int
    run_ids: list[str] = field(default_factory=list)
    best: float | None = None
    modified: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        document = dict(vars(self))
        if not self.modified:
            del document["modified"]
        return document


def log(
    path: str,
    *,
    metric: str | None = None,
    minimize: bool = False,
    experiments: Sequence[str] = (),
    tracking_uri: str | None = None,
    progress: Progress | None = None,
) -> tuple[list[Version], Findings]:
    """The versions of the out at a path, in the order of their first runs.

    Args:
        path: relative to the project.
        metric: name of a metric to tell the best of.
        minimize: the least is the best.
        experiments: names of experiments; none for all.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        progress: hears of runs.

    Returns:
        The versions, and the runs that they are from.

    Raises:
        MlflowDvcError: the runs cannot be read.
    """
    found = find(
        path=path,
        experiments=experiments,
        metrics=[metric] if metric else [],
        tracking_uri=tracking_uri,
        progress=progress,
    )
    return versions(found.runs, path, metric, minimize), found


def versions(
    runs: Iterable[FoundRun], path: str, metric: str | None = None, minimize: bool = False
) -> list[Version]:
    """The distinct versions of an out that runs used or made.

    A run whose workspace held something else is no run on the version: its
    metric says nothing of it.
    """
    better = min if minimize else max
    by_hash: dict[str, list[FoundRun]] = {}
    for run in sorted(runs, key=lambda run: (run.start_time, run.run_id)):
        by_hash.setdefault(run.hashes[path], []).append(run)
    found = []
    for value, some in by_hash.items():
        true = [run for run in some if path not in run.modified]
        scores = [run.metrics[metric] for run in true if metric in run.metrics] if metric else []
        scores = [score for score in scores if score == score]  # noqa: PLR0124 - NaN is no score
        found.append(
            Version(
                value,
                some[0].start_time,
                some[-1].start_time,
                [run.run_id for run in some],
                better(scores) if scores else None,
                [run.run_id for run in some if path in run.modified],
            )
        )
    return found
