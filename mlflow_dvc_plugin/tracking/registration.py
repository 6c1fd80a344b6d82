"""Does MLflow itself have the plugin, and which store does it use?"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mlflow_dvc_plugin.tracking.database import DATABASES
from mlflow_dvc_plugin.tracking.store import find_local_path, open_client, translate_errors

DEFAULT = "MLflow's default"
_KINDS = {
    "": "folder",
    "file": "folder",
    "sqlite": "SQLite database",
    "http": "MLflow server",
    "https": "MLflow server",
    "databricks": "Databricks",
}


class Store(NamedTuple):
    """An MLflow store. `exists` is false for a local one that MLflow has still to create."""

    uri: str
    kind: str
    source: str
    exists: bool


def explain_missing_provider() -> str:
    """Why MLflow did not load the plugin in this process; empty if it did."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            # What MLflow asks for the tags of each run.
            from mlflow.tracking.context import registry
        except Exception as err:  # noqa: BLE001 - any plugin may break this import
            return f"`import mlflow` fails: {type(err).__name__}: {err}"
    providers: Any = registry._run_context_provider_registry
    if any(type(each).__module__ == "mlflow_dvc_plugin.provider" for each in providers):
        return ""
    said = [str(each.message) for each in caught if "context provider" in str(each.message)]
    return said[0] if said else "it has no entry point mlflow.run_context_provider"


def find_store(tracking_uri: str | None) -> Store:
    """Find the store that MLflow would use here, and why; it is not opened."""
    from mlflow.tracking import get_tracking_uri

    if tracking_uri:
        source = "--tracking-uri"
    elif os.environ.get("MLFLOW_TRACKING_URI"):
        source = "MLFLOW_TRACKING_URI"
    else:
        source = DEFAULT
    with translate_errors():
        uri = str(tracking_uri or get_tracking_uri())
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if uri == "databricks":
        scheme = uri
    path = find_local_path(uri)
    exists = not path or os.path.exists(path)
    return Store(uri, _KINDS.get(scheme, scheme), source, exists)


def import_store(tracking_uri: str) -> None:
    """Import what MLflow needs for a database: it may take longer than the answer."""
    if urlsplit(tracking_uri).scheme.partition("+")[0] in DATABASES:
        with suppress(ImportError):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def ask_store(tracking_uri: str) -> None:
    """Ask a store for an experiment; a TrackingError if it does not answer as it should."""
    client = open_client(tracking_uri)
    with translate_errors():
        client.search_experiments(max_results=1)
