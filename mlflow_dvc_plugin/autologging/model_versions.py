"""The data tags of model versions that are registered in this process."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_dvc_plugin.state.model_tags import select_model_tags
from mlflow_dvc_plugin.tag_request import find_active_tags
from mlflow_dvc_plugin.tracking.lookup import get_run
from mlflow_dvc_plugin.tracking.models import Registry


def build_version_tags(
    source: str, run_id: str | None, known: Mapping[str, str], tracking_uri: str | None
) -> dict[str, str]:
    """The data tags for a version of a registered model: those of the run that it comes from.

    Args:
        source: where MLflow takes the model from.
        run_id: the run; None if only `source` names it.
        known: the run's tags if autologging knows them. MLflow is asked only for other runs.
        tracking_uri: the MLflow store.
    """
    if not run_id and source.startswith("models:/"):
        run_id = Registry(tracking_uri).find_model(source).run_id
    if not run_id:
        return {}
    tags = select_model_tags(find_active_tags(run_id) or known, run_id)
    return tags or select_model_tags(get_run(run_id, tracking_uri).tags, run_id)
