"""The run that made a model."""

from __future__ import annotations

import re
from typing import Any

from mlflow_dvc_plugin.errors import RunNotFoundError
from mlflow_dvc_plugin.tracking.store import tracking_error

_URI = re.compile(r"models:/([^/@]+)(?:/([^/@]+)|@([^/@]+))?\Z")
_FORMS = "models:/NAME/VERSION, models:/NAME/latest, models:/NAME@ALIAS or, in MLflow 3, models:/ID"


def run_of_model(client: Any, uri: str) -> str:
    """The id of the run that made a model.

    Args:
        client: an ``MlflowClient``.
        uri: ``models:/NAME/VERSION``, ``models:/NAME/latest``, ``models:/NAME@ALIAS``, or
            ``models:/ID`` of a logged model of MLflow 3.

    Raises:
        RunNotFoundError: there is no such model, or it names no run.
        TrackingError: the store did not answer.
    """
    from mlflow.exceptions import MlflowException

    match = _URI.match(uri)
    if match is None:
        raise RunNotFoundError(f"{uri!r}: write {_FORMS}.")
    try:
        run_id = _run_of(client, *match.groups())
    except LookupError as err:
        raise _no_such(uri) from err
    except MlflowException as err:
        if err.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise _no_such(uri) from err
        raise tracking_error(err) from err
    except Exception as err:
        raise tracking_error(err) from err
    if not run_id:
        raise RunNotFoundError(f"{uri} does not say which run made it: name the run itself.")
    return str(run_id)


def _run_of(client: Any, name: str, version: str | None, alias: str | None) -> Any:
    if alias:
        return client.get_model_version_by_alias(name, alias).run_id
    if version and version.lower() == "latest":
        return _latest(client, name).run_id
    if version:
        return client.get_model_version(name, version).run_id
    # MLflow 2 has no logged models.
    find = getattr(client, "get_logged_model", None)
    if find is None:
        raise LookupError(name)
    return find(name).source_run_id


def _latest(client: Any, name: str) -> Any:
    quote = '"' if "'" in name else "'"
    clause, newest = f"name = {quote}{name}{quote}", ["version_number DESC"]
    for found in client.search_model_versions(clause, max_results=1, order_by=newest):
        if found.name == name:
            return found
    raise LookupError(name)


def _no_such(uri: str) -> RunNotFoundError:
    return RunNotFoundError(
        f"The model registry has no {uri}: check it in MLflow, and --tracking-uri."
    )
