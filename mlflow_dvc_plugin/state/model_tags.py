"""The MLflow tags of model versions: which data made them, and which run."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_dvc_plugin.state.entry import Entry
from mlflow_dvc_plugin.state.tags import DATA_PREFIX, to_tag_key

MODEL_PREFIX = "dvc.model."
MODEL_MANIFEST = "dvc.model_manifest"  # of a model version: describes the out that the model is
RUN = "dvc.run_id"  # of a model version: the run that it comes from
# What a model version gets from its run, besides the hash of each out.
_MODEL_TAGS = (
    "dvc.data_hash",
    "dvc.status",
    "dvc.modified",
    "dvc.stage",
    "dvc.inputs_hash",
    "dvc.git_commit",
    "dvc.source",
    "dvc.data_omitted",
)


def select_model_tags(tags: Mapping[str, str], run_id: str) -> dict[str, str]:
    """Select the tags of a run that a model version gets: which data made it, and which run.

    There are none if the run has no data state.
    """
    if "dvc.data_hash" not in tags:
        return {}
    return {RUN: run_id} | {key: value for key, value in tags.items() if is_model_tag(key)}


def build_model_tags(out: Entry, manifest: str) -> dict[str, str]:
    """Build the tags of a model version whose bytes are an out."""
    return {to_tag_key(out.path, MODEL_PREFIX): str(out.hash), MODEL_MANIFEST: manifest}


def is_model_tag(key: str) -> bool:
    """A model version gets this tag from its run."""
    return key in _MODEL_TAGS or key.startswith(DATA_PREFIX)
