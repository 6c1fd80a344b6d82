"""Runs by the data that they used: one state after the other, and what changed between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mlflow_dvc_plugin.lineage.diff import Diff, compare_states
from mlflow_dvc_plugin.reporting.recorded_runs import RecordedRun
from mlflow_dvc_plugin.state import DataState


@dataclass(frozen=True)
class Metric:
    """The metric by which runs are compared."""

    name: str
    minimize: bool = False

    def read(self, recorded: RecordedRun) -> float | None:
        """Its value in a run; None without one, or if it is not a finite number."""
        value = recorded.run.metrics.get(self.name)
        return value if value is not None and math.isfinite(value) else None

    def find_best(self, recorded: Iterable[RecordedRun]) -> RecordedRun | None:
        """The best of some runs; those on edited data do not count, as nobody has that data."""
        scored = [
            (value, each)
            for each in recorded
            if not is_edited(each) and (value := self.read(each)) is not None
        ]
        if not scored:
            return None
        return (min if self.minimize else max)(scored, key=lambda pair: pair[0])[1]


@dataclass
class UsedData:
    """The data that some runs used, and these runs, the oldest first.

    Attributes:
        key: its fingerprint.
        changes: what differs from the state before it; None for the first.
        best: the best of the runs.
    """

    key: str
    state: DataState
    runs: list[RecordedRun] = field(default_factory=list)
    changes: Diff | None = None
    best: RecordedRun | None = None

    @property
    def edited(self) -> int:
        """How many of the runs started on edited data."""
        return sum(map(is_edited, self.runs))


def is_edited(recorded: RecordedRun) -> bool:
    """The data was edited when the run started, and was not saved."""
    return bool(recorded.run.modified)


def group_by_data(recorded: Sequence[RecordedRun], metric: Metric | None = None) -> list[UsedData]:
    """The states of data that runs used, in the order of their first runs."""
    found: dict[str, UsedData] = {}
    for each in sorted(recorded, key=lambda each: (each.run.start_time, each.run.run_id)):
        if each.state is None:
            continue
        tags = each.run.tags
        key = tags.get("dvc.inputs_hash") or tags["dvc.data_hash"]
        # What is in the workspace besides is not what a stage used.
        used = each.state._replace(entries=tuple(each.used), status="clean", modified=())
        found.setdefault(key, UsedData(key, used)).runs.append(each)
    previous: UsedData | None = None
    for data in found.values():
        if previous is not None:
            data.changes = compare_states(previous.state, data.state)
        data.best = metric.find_best(data.runs) if metric else None
        previous = data
    return list(found.values())
