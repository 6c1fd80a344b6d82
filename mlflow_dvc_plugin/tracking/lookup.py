"""The run that a user names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from mlflow_dvc_plugin.errors import RunNotFoundError
from mlflow_dvc_plugin.tracking import store
from mlflow_dvc_plugin.tracking.models import run_of_model
from mlflow_dvc_plugin.tracking.run import Run, to_run

_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}\Z")
_FULL_ID_LENGTH = 32
_SHOWN_CANDIDATES = 5


def find_run(text: str, tracking_uri: str | None = None) -> Run:
    """The run that a user means.

    Args:
        text: a run id, a unique prefix of one, ``runs:/ID``, or what
            :func:`run_of_model` takes.
        tracking_uri: the MLflow store; None for MLflow's own choice.

    Raises:
        RunNotFoundError: there is no such run, or more than one.
        TrackingError: the store did not answer.
    """
    client = store.client_of(tracking_uri)
    if text.startswith("models:/"):
        return _get(client, run_of_model(client, text))
    wanted = text.removeprefix("runs:/").split("/")[0]
    if not _ID.match(wanted):
        raise RunNotFoundError(
            f"{text!r} is not a run: give a run id or a prefix of one, runs:/ID, "
            "models:/NAME/VERSION or models:/NAME@ALIAS."
        )
    if len(wanted) >= _FULL_ID_LENGTH:
        return _get(client, wanted)
    found = list(_with_prefix(client, wanted))
    if not found:
        raise RunNotFoundError(
            f"No run of this store has an id that starts with {wanted!r}: check --tracking-uri "
            "or MLFLOW_TRACKING_URI."
        )
    if len(found) > 1:
        shown = ", ".join(f"{run.run_id} ({run.name})" for run in found[:_SHOWN_CANDIDATES])
        more = len(found) - _SHOWN_CANDIDATES
        raise RunNotFoundError(
            f"{wanted!r} is the start of {len(found)} run ids, so write more of one: {shown}"
            + (f" and {more} more." if more > 0 else ".")
        )
    return found[0]


def _get(client: Any, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_run(run_id)
    except MlflowException as err:
        if err.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise RunNotFoundError(
                f"This store has no run {run_id}: check --tracking-uri or MLFLOW_TRACKING_URI."
            ) from err
        raise store.tracking_error(err) from err
    except Exception as err:
        raise store.tracking_error(err) from err
    if found.info.lifecycle_stage == "deleted":
        raise RunNotFoundError(
            f"Run {run_id} is deleted: bring it back with `mlflow runs restore --run-id {run_id}`."
        )
    return to_run(found, client)


def _with_prefix(client: Any, prefix: str) -> Iterator[Run]:
    experiments = store.pages(lambda token: client.search_experiments(page_token=token))
    ids = [experiment.experiment_id for experiment in experiments]
    # "_" stands for any character in LIKE, so the prefix is checked once more.
    clause = f"attributes.run_id LIKE '{prefix}%'"
    for start in range(0, len(ids), store.EXPERIMENTS_AT_ONCE):
        some = ids[start : start + store.EXPERIMENTS_AT_ONCE]
        search = partial(client.search_runs, some, clause, max_results=store.PAGE)
        for found in store.pages(lambda token, search=search: search(page_token=token)):  # type: ignore[misc]
            if found.info.run_id.startswith(prefix):
                yield to_run(found, client)
