"""Runs by what they have."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from mlflow_dvc_plugin.errors import RunNotFoundError
from mlflow_dvc_plugin.tracking import store
from mlflow_dvc_plugin.tracking.run import Run, to_run

_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+ -]+")
_KEY = re.compile(r"[A-Za-z0-9_./ -]+")


def search(
    clauses: Sequence[str] = (),
    experiments: Sequence[str] = (),
    tracking_uri: str | None = None,
) -> Iterator[Run]:
    """All runs that meet each clause, the newest first, however many pages they take.

    Args:
        clauses: conditions in MLflow's filter language, made by :func:`tag_is`
            and :func:`has_tag`.
        experiments: names of experiments; none for all of them.
        tracking_uri: the MLflow store; None for MLflow's own choice.

    Raises:
        RunNotFoundError: there is no such experiment.
        TrackingError: the store did not answer.
    """
    client = store.client_of(tracking_uri)
    ids = _experiment_ids(client, experiments)
    filter_string = " AND ".join(clauses)
    chunks = [
        _newest_first(client, ids[start : start + store.EXPERIMENTS_AT_ONCE], filter_string)
        for start in range(0, len(ids), store.EXPERIMENTS_AT_ONCE)
    ]
    if len(chunks) == 1:
        return chunks[0]
    return heapq.merge(*chunks, key=lambda run: -run.start_time)


def tag_is(key: str, value: str) -> str:
    """The clause for a tag's value.

    MLflow's filters know no escapes: a value that they could misread is left
    to the caller, who sees each run's tags, and the clause only asks for the tag.
    """
    return f"tags.`{key}` = '{value}'" if _PLAIN.fullmatch(value) else has_tag(key)


def has_tag(key: str) -> str:
    """The clause for a tag that is there, whatever its value.

    Raises:
        ValueError: `key` has characters that no key of ours has.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} cannot stand in a filter")
    return f"tags.`{key}` != ''"


def _experiment_ids(client: Any, names: Sequence[str]) -> list[str]:
    if not names:
        found = store.pages(lambda token: client.search_experiments(page_token=token))
        return [experiment.experiment_id for experiment in found]
    ids = []
    for name in dict.fromkeys(names):
        try:
            experiment = client.get_experiment_by_name(name)
        except Exception as err:
            raise store.tracking_error(err) from err
        if experiment is None or experiment.lifecycle_stage == "deleted":
            raise RunNotFoundError(
                f"This store has no experiment {name!r}: check the name, and --tracking-uri or "
                "MLFLOW_TRACKING_URI."
            )
        ids.append(experiment.experiment_id)
    return ids


def _newest_first(client: Any, ids: Sequence[str], filter_string: str) -> Iterator[Run]:
    order = ["attributes.start_time DESC"]
    ask = partial(client.search_runs, ids, filter_string, max_results=store.PAGE, order_by=order)
    seen: set[str] = set()
    # A run that starts meanwhile moves the others on, some of them to the next page.
    for found in store.pages(lambda token: ask(page_token=token)):
        if found.info.run_id not in seen:
            seen.add(found.info.run_id)
            yield to_run(found, client)
