"""From the text that a user writes for a run to that run."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from mlflow_dvc_plugin.errors import RunNotFoundError, join_some
from mlflow_dvc_plugin.tracking.models import Registry
from mlflow_dvc_plugin.tracking.run import Run, to_run
from mlflow_dvc_plugin.tracking.search import search_runs
from mlflow_dvc_plugin.tracking.store import open_client, translate_errors

_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}\Z")
_FULL_ID_LENGTH = 32
_SHOWN_CANDIDATES = 5
_HINT = "Check --tracking-uri or MLFLOW_TRACKING_URI."


def find_run(text: str, tracking_uri: str | None = None) -> Run:
    """The run that a user means.

    The text is a run id, a unique prefix of one, ``runs:/ID``, ``models:/NAME/VERSION``,
    ``models:/NAME/latest``, ``models:/NAME@ALIAS``, or ``models:/ID`` of MLflow 3.
    """
    client = open_client(tracking_uri)
    if text.startswith("models:/"):
        model = Registry(tracking_uri).find_model(text)
        if not model.run_id:
            raise RunNotFoundError(
                f"{text} does not say which run it comes from. Give the run's id."
            )
        return replace(get_run(model.run_id, tracking_uri), model=model)
    run_id = text.removeprefix("runs:/").split("/")[0]
    if not _ID.match(run_id):
        raise RunNotFoundError(
            f"{text!r} is not a run. Give a run id or a prefix of one, runs:/ID, "
            "models:/NAME/VERSION or models:/NAME@ALIAS."
        )
    if len(run_id) >= _FULL_ID_LENGTH:
        return _get_run(client, run_id)
    return _find_prefix(run_id, tracking_uri)


def get_run(run_id: str, tracking_uri: str | None = None, even_deleted: bool = False) -> Run:
    """The run with an id. Deleted runs stay in the store until they are purged."""
    if not _ID.match(run_id):
        raise RunNotFoundError(f"{run_id[:100]!r} is not a run id.")
    return _get_run(open_client(tracking_uri), run_id, even_deleted)


def _get_run(client: Any, run_id: str, even_deleted: bool = False) -> Run:
    with translate_errors(not_found=f"There is no run {run_id} in this MLflow store. {_HINT}"):
        found = client.get_run(run_id)
    if found.info.lifecycle_stage == "deleted" and not even_deleted:
        raise RunNotFoundError(
            f"Run {run_id} is deleted. Bring it back with `mlflow runs restore --run-id {run_id}`."
        )
    return to_run(found, client)


def _find_prefix(prefix: str, tracking_uri: str | None) -> Run:
    # "_" stands for any character in LIKE, so the prefix is checked once more.
    candidates = search_runs([f"attributes.run_id LIKE '{prefix}%'"], tracking_uri=tracking_uri)
    found = [run for run in candidates if run.run_id.startswith(prefix) and _ID.match(run.run_id)]
    if not found:
        raise RunNotFoundError(
            f"There is no run whose id starts with {prefix!r} in this MLflow store. {_HINT}"
        )
    if len(found) > 1:
        shown = join_some([f"{run.run_id} ({run.name})" for run in found], _SHOWN_CANDIDATES)
        raise RunNotFoundError(
            f"{len(found)} run ids start with {prefix!r}. Give more characters of one: {shown}."
        )
    return found[0]
