"""Datasets that users make from files that DVC tracks, linked to the data in DVC."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

from mlflow_dvc_plugin.capturing.run_start import find_settings
from mlflow_dvc_plugin.datasets.source import digest_of, source_of
from mlflow_dvc_plugin.datasets.verification import find_proven
from mlflow_dvc_plugin.errors import MlflowDvcError

DIGEST_TAG = "dvc.digest"
# Sources that never name a path here.
_OTHER_SOURCES = ("code", "dvc", "http", "hugging_face")


def link_inputs(inputs: Iterable[DatasetInput]) -> list[DatasetInput]:
    """Give DVC's source and digest to each dataset whose file is proven to be what DVC recorded.

    The digest is a tag of the input. Name, digest, schema and profile stay the user's, and the
    source keeps what MLflow had in its place.
    """
    return [_link(item) for item in inputs]


def _link(item: DatasetInput) -> DatasetInput:
    dataset = item.dataset
    if dataset.source_type in _OTHER_SOURCES:
        return item
    values = json.loads(dataset.source)
    path = _find_path(values)
    if path is None:
        return item
    settings, _ = find_settings()
    try:
        entry, state = find_proven(path, settings.status_budget_ms)
    except (MlflowDvcError, OSError):
        return item
    source = source_of(entry, state)
    before = {"type": dataset.source_type, **values}
    text = json.dumps({**source.to_dict(), "mlflow_source": before})
    linked = Dataset(dataset.name, dataset.digest, "dvc", text, dataset.schema, dataset.profile)
    return DatasetInput(linked, [*item.tags, InputTag(DIGEST_TAG, digest_of(source.hash))])


def _find_path(source: Any) -> str | None:
    """The path on this machine that a source names; None if it names none."""
    path = (source.get("uri") or source.get("path")) if isinstance(source, dict) else None
    if not isinstance(path, str):
        return None
    path = path.removeprefix("file://")
    return path if os.path.exists(path) else None
