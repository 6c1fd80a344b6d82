"""Tags, params and metrics, logged in batches that every MLflow store accepts."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Mapping
from typing import Any

_BATCH = 100  # params or tags
_METRICS_BATCH = 800
_MAX_PARAM = 6_000  # characters of a value


def log_tags(client: Any, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run."""
    from mlflow.entities import RunTag

    items = [RunTag(key, value) for key, value in tags.items()]
    for batch in _split(items, _BATCH):
        client.log_batch(run_id, tags=batch, synchronous=True)


def log_params(
    client: Any, run_id: str, params: Mapping[str, str], known: Mapping[str, str]
) -> list[str]:
    """Log the params that the run does not have yet, in `known`.

    Returns:
        Warnings about params that have another value there, or are too long.
    """
    from mlflow.entities import Param

    new = {key: value for key, value in params.items() if key not in known}
    items = [Param(key, value[:_MAX_PARAM]) for key, value in new.items()]
    for batch in _split(items, _BATCH):
        client.log_batch(run_id, params=batch, synchronous=True)
    problems = [
        f"Param {key!r} keeps the logged value {known[key]!r}; DVC has {value!r}."
        for key, value in params.items()
        if known.get(key, value) != value
    ]
    cut = [key for key, value in new.items() if len(value) > _MAX_PARAM]
    return [*problems, *(f"Param {key!r} is cut to {_MAX_PARAM} characters." for key in cut)]


def log_metrics(
    client: Any, run_id: str, metrics: Mapping[str, float], known: Container[str]
) -> None:
    """Log the metrics that the run does not have yet, in `known`."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    items = [Metric(key, value, now, 0) for key, value in metrics.items() if key not in known]
    for batch in _split(items, _METRICS_BATCH):
        client.log_batch(run_id, metrics=batch, synchronous=True)


def _split(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
