"""What is equal, and what differs, between a run and the run that repeats it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mlflow_dvc_plugin.rerunning.values import Difference, compare_numbers
from mlflow_dvc_plugin.state import DataState

Verdict = Literal["identical", "within tolerance", "different"]

DEFAULT_TOLERANCE = 1e-6
# What MLflow measures of the machine.
_SYSTEM = "system/"


@dataclass(frozen=True)
class Tolerance:
    """How much numbers may differ, in proportion to the larger of the two.

    `by_name` has other tolerances for some metrics (by key) and outputs (by path).
    """

    default: float = DEFAULT_TOLERANCE
    by_name: Mapping[str, float] = field(default_factory=dict)

    def allows(self, name: str, difference: Difference | None) -> bool:
        """Is the difference small enough? One that is not known is, if any is."""
        most = self.by_name.get(name, self.default)
        return most == math.inf if difference is None else difference.relative <= most


@dataclass(frozen=True)
class Comparison:
    """An input, an output or a metric of both runs.

    Attributes:
        name: a path, or the key of a metric.
        old: a hash or a number; None if it does not exist, or is not known.
        new: the same of the run that repeats.
        verdict: None if they cannot be compared.
        difference: how much the values differ; None if that is not known.
    """

    name: str
    old: str | float | None
    new: str | float | None
    verdict: Verdict | None
    difference: Difference | None = None

    def to_dict(self, key: str) -> dict[str, Any]:
        """As ``--json`` prints it; `key` names the name."""
        found = {
            key: self.name,
            "old": _to_json(self.old),
            "new": _to_json(self.new),
            "verdict": self.verdict,
        }
        if self.difference is not None:
            largest = self.difference.largest
            found |= {"differing": self.difference.count, "largest": _to_json(largest)}
        return found


def compare_inputs(old: DataState, new: DataState) -> list[Comparison]:
    """Compare the data inputs of the stage, or outside a stage all data, by hash."""
    before, after = (
        {e.path: f"{e.hash_name}:{e.hash}" for e in state.used_entries()} for state in (old, new)
    )
    return [
        Comparison(
            path,
            _strip_name(before.get(path)),
            _strip_name(after.get(path)),
            "identical" if before.get(path) == after.get(path) else "different",
        )
        for path in sorted({*before, *after})
    ]


def compare_metrics(
    old: Mapping[str, float], new: Mapping[str, float], tolerance: Tolerance
) -> list[Comparison]:
    """Compare the last values of the metrics, but for those of the machine."""
    found = []
    for name in sorted({*old, *new}):
        if name.startswith(_SYSTEM):
            continue
        one, other = old.get(name), new.get(name)
        known = one is not None and other is not None
        difference = compare_numbers(one, other) if known else None  # type: ignore[arg-type]
        found.append(Comparison(name, one, other, judge(name, difference, tolerance), difference))
    return found


def judge(name: str, difference: Difference | None, tolerance: Tolerance) -> Verdict:
    """The verdict on what differs, or may differ, by this much."""
    if difference is not None and not difference.count:
        return "identical"
    return "within tolerance" if tolerance.allows(name, difference) else "different"


def combine(comparisons: Iterable[Comparison]) -> Verdict:
    """The worst verdict of several; what cannot be compared does not count."""
    found = {each.verdict for each in comparisons}
    order: Sequence[Verdict] = ("different", "within tolerance")
    return next((verdict for verdict in order if verdict in found), "identical")


def _strip_name(value: str | None) -> str | None:
    return value.partition(":")[2] if value else None


def _to_json(value: str | float | None) -> str | float | None:
    """A value for JSON, which has no infinity and no NaN."""
    is_special = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_special else value
