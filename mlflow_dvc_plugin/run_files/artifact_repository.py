"""The entry point with which MLflow opens ``mlflow-dvc://RUN/PATH``.

``import mlflow`` imports this module, so everything else is imported when an address is opened.
"""

from __future__ import annotations

from typing import Any


def open_repository(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> Any:
    """A run's data as a read-only artifact repository of MLflow."""
    from mlflow_dvc_plugin.run_files.repository import RunDataRepository, check_caller

    check_caller()
    return RunDataRepository(artifact_uri, tracking_uri, registry_uri)
