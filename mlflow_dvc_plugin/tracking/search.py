"""Searching for runs."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from mlflow_dvc_plugin.errors import RunNotFoundError, TrackingError
from mlflow_dvc_plugin.tracking import store
from mlflow_dvc_plugin.tracking.run import Run, to_run

# Values and keys that stand in a filter as they are.
_SAFE_VALUE = re.compile(r"[A-Za-z0-9_.:/@+ -]+")
_SAFE_KEY = re.compile(r"[A-Za-z0-9_./ -]+")


def search_runs(
    clauses: Sequence[str] = (),
    experiments: Sequence[str] = (),
    tracking_uri: str | None = None,
) -> Iterator[Run]:
    """All runs that meet every clause, the newest first, from as many pages as there are.

    Clauses are conditions in MLflow's filter language, such as those of :func:`tag_clause`.
    Without experiments, all are searched.
    """
    client = store.open_client(tracking_uri)
    ids = find_experiment_ids(client, experiments)
    filter_string = " AND ".join(clauses)
    chunks = [
        _read_newest_first(client, ids[start : start + store.EXPERIMENTS_AT_ONCE], filter_string)
        for start in range(0, len(ids), store.EXPERIMENTS_AT_ONCE)
    ]
    if len(chunks) == 1:
        return chunks[0]
    return heapq.merge(*chunks, key=lambda run: -run.start_time)


def search_runs_without(
    keys: Sequence[str],
    clauses: Sequence[str] = (),
    experiments: Sequence[str] = (),
    tracking_uri: str | None = None,
) -> Iterator[Run]:
    """All runs that meet every clause and have none of these tags, the newest first.

    A server older than MLflow 3.11 cannot filter by what is absent: all runs that meet the
    clauses are read from it.
    """
    absent = [f"tags.`{key}` IS NULL" for key in keys]
    runs = search_runs([*clauses, *absent], experiments, tracking_uri)
    try:
        first = next(runs, None)
    except TrackingError as err:
        if getattr(err.__cause__, "error_code", "") != "INVALID_PARAMETER_VALUE":
            raise
        for run in search_runs(clauses, experiments, tracking_uri):
            if run.tags.keys().isdisjoint(keys):
                yield run
        return
    if first is not None:
        yield first
    yield from runs


def contains_clause(key: str, text: str) -> str:
    """The condition that a text without special characters occurs in the value of a tag."""
    if not _SAFE_VALUE.fullmatch(text):
        raise ValueError(f"{text!r} cannot be used in a filter")
    return f"tags.`{key}` LIKE '%{text}%'"


def tag_clause(key: str, value: str | None = None) -> str:
    """The condition that a run has a tag, with this value if one is given.

    MLflow's filters have no escapes. For a value that MLflow could misread, the
    clause only asks for the key, and the caller compares the values.
    """
    if not _SAFE_KEY.fullmatch(key):
        raise ValueError(f"{key!r} cannot be used in a filter")
    if value is not None and _SAFE_VALUE.fullmatch(value):
        return f"tags.`{key}` = '{value}'"
    return f"tags.`{key}` != ''"


def find_experiment_ids(client: Any, names: Sequence[str] = ()) -> list[str]:
    """The ids of experiments, by name; without names, of all."""
    if not names:
        found = store.read_pages(lambda token: client.search_experiments(page_token=token))
        return [experiment.experiment_id for experiment in found]
    ids = []
    for name in dict.fromkeys(names):
        with store.translate_errors():
            experiment = client.get_experiment_by_name(name)
        if experiment is None or experiment.lifecycle_stage == "deleted":
            raise RunNotFoundError(
                f"There is no experiment {name!r} in this MLflow store. Check the name, and "
                "--tracking-uri or MLFLOW_TRACKING_URI."
            )
        ids.append(experiment.experiment_id)
    return ids


def _read_newest_first(client: Any, ids: Sequence[str], filter_string: str) -> Iterator[Run]:
    order = ["attributes.start_time DESC"]
    fetch = partial(client.search_runs, ids, filter_string, max_results=store.PAGE, order_by=order)
    seen: set[str] = set()
    # A run that starts during the search moves the others on, some of them to the next page.
    for found in store.read_pages(lambda token: fetch(page_token=token)):
        if found.info.run_id not in seen:
            seen.add(found.info.run_id)
            yield to_run(found, client)


def find_run_before(run: Run, clauses: Sequence[str] = ()) -> Run | None:
    """The newest run that started before a run in the same experiment, and meets every clause."""
    client = store.open_client(run.store or None)
    before = f"attributes.start_time < {run.start_time}"
    order = ["attributes.start_time DESC"]
    with store.translate_errors():
        found = client.search_runs(
            [run.experiment_id], " AND ".join([before, *clauses]), max_results=1, order_by=order
        )
    return to_run(found[0], client) if found else None


def find_experiment_name(run: Run) -> str:
    """The name of a run's experiment."""
    with store.translate_errors():
        return str(store.open_client(run.store or None).get_experiment(run.experiment_id).name)
