"""Tags, params and metrics, logged in batches that every MLflow store accepts."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from typing import Any

from mlflow import entities

_BATCH = 100  # params or tags
_METRICS_BATCH = 800
_MAX_PARAM = 6_000  # characters of a value


def log_tags(client: Any, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run."""
    _log(client, run_id, "tags", [entities.RunTag(*item) for item in tags.items()])


def log_params(
    client: Any, run_id: str, params: Mapping[str, str], known: Mapping[str, str]
) -> list[str]:
    """Log the params that the run does not have in `known`, and return warnings."""
    new = {key: value for key, value in params.items() if key not in known}
    items = [entities.Param(key, value[:_MAX_PARAM]) for key, value in new.items()]
    _log(client, run_id, "params", items)
    problems = [
        f"Param {key!r} keeps the logged value {known[key]!r}; DVC has {value!r}."
        for key, value in params.items()
        if known.get(key, value) != value
    ]
    cut = [key for key, value in new.items() if len(value) > _MAX_PARAM]
    return [*problems, *(f"Param {key!r} is cut to {_MAX_PARAM} characters." for key in cut)]


def log_metrics(
    client: Any,
    run_id: str,
    metrics: Mapping[str, float],
    known: Container[str],
    subject: Mapping[str, str],
) -> None:
    """Log the metrics that the run does not have in `known`; `subject` is what they are for."""
    now = int(time.time() * 1000)
    new = [(key, value) for key, value in metrics.items() if key not in known]
    items = [entities.Metric(key, value, now, 0, **subject) for key, value in new]
    _log(client, run_id, "metrics", items, _METRICS_BATCH)


def _log(client: Any, run_id: str, kind: str, items: Sequence[Any], size: int = _BATCH) -> None:
    for start in range(0, len(items), size):
        client.log_batch(run_id, **{kind: items[start : start + size]}, synchronous=True)
