"""The door to MLflow: from what a user writes to a run, and to its recorded state.

Everything that asks MLflow goes through here, and comes out as our own values
and errors.
"""

from mlflow_dvc_plugin.runs.named import find_run
from mlflow_dvc_plugin.runs.recorded import load_state
from mlflow_dvc_plugin.runs.run import Run
from mlflow_dvc_plugin.runs.search import has_tag, search, tag_is
from mlflow_dvc_plugin.runs.tagging import write_tags

__all__ = ["Run", "find_run", "has_tag", "load_state", "search", "tag_is", "write_tags"]
