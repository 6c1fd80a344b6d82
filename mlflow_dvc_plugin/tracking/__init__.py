"""MLflow: finding runs and setting their tags.

All requests to MLflow start here. The results are our own values and errors.
"""

from mlflow_dvc_plugin.tracking.artifacts import read_artifact
from mlflow_dvc_plugin.tracking.lookup import find_run
from mlflow_dvc_plugin.tracking.run import Run
from mlflow_dvc_plugin.tracking.search import (
    contains_clause,
    search_runs,
    search_runs_without,
    tag_clause,
)
from mlflow_dvc_plugin.tracking.store import write_tags

__all__ = [
    "Run",
    "contains_clause",
    "find_run",
    "read_artifact",
    "search_runs",
    "search_runs_without",
    "tag_clause",
    "write_tags",
]
