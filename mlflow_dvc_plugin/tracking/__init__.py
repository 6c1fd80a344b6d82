"""The door to MLflow: from what a user writes to a run.

Everything that asks MLflow goes through here, and comes out as our own values
and errors.
"""

from mlflow_dvc_plugin.tracking.lookup import find_run
from mlflow_dvc_plugin.tracking.run import Run
from mlflow_dvc_plugin.tracking.search import has_tag, search, tag_is
from mlflow_dvc_plugin.tracking.tagging import write_tags

__all__ = ["Run", "find_run", "has_tag", "search", "tag_is", "write_tags"]
