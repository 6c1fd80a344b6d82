"""Outs as dataset inputs of a run, and users' own datasets linked to outs."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from mlflow_dvc_plugin.autologging.recording import Recording, warn
from mlflow_dvc_plugin.capturing.run_start import find_settings
from mlflow_dvc_plugin.datasets.constructor import from_dvc
from mlflow_dvc_plugin.datasets.source import digest_of, profile_of, source_of
from mlflow_dvc_plugin.datasets.verification import find_proven
from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.tags import MAX_MODIFIED, MAX_MODIFIED_TOTAL

_NOT_LOGGED = "{} is not logged as a dataset: its content may differ from the hash that DVC has."
MAX_TABLE = 16 * 1024 * 1024  # bytes
DIGEST_TAG = "dvc.digest"
_MAX_NAME = 500
# Sources that never name a path on this machine.
_OTHER_SOURCES = ("code", "dvc", "http", "hugging_face")


def is_modified(state: DataState, path: str) -> bool:
    """The content of an out differs from its hash, or may differ.

    What was saved has the hash of its content. A run's tags name only some of the outs that
    differ. Behind many, there may be more.
    """
    if state.status != "modified":
        return False
    listed = ",".join(state.modified)
    is_cut = len(state.modified) >= MAX_MODIFIED or len(listed) > MAX_MODIFIED_TOTAL / 2
    return is_cut or f",{path}," in f",{listed},"


def list_inputs(run: Any) -> list[DatasetInput]:
    """The dataset inputs that a run has."""
    inputs = getattr(run, "inputs", None)
    return list(inputs.dataset_inputs) if inputs else []


def find_only_dataset(inputs: Iterable[DatasetInput], state: DataState) -> Dataset | None:
    """The dataset of a run that has exactly one, as the user logged it if so; else None.

    Data that the run used and that is not logged, such as modified data, counts too.
    """
    by_digest: dict[str, Dataset] = {}
    for item in inputs:
        tags = {tag.key: tag.value for tag in item.tags}
        by_digest.setdefault(tags.get(DIGEST_TAG, item.dataset.digest), item.dataset)
    used = {digest_of(str(entry.hash)) for entry in state.used_entries()}
    if len(by_digest) != 1 or not used <= by_digest.keys():
        return None
    return next(iter(by_digest.values()))


def log_datasets(
    client: Any, recording: Recording, state: DataState, logged: Iterable[DatasetInput]
) -> list[DatasetInput]:
    """Add the outs that a run used as dataset inputs, without modified ones and those it has.

    Returns what was added to those that are `logged`.
    """
    known = {item.dataset.digest for item in logged}
    entries = state.used_entries()[: recording.max_datasets]
    modified = sorted(entry.path for entry in entries if is_modified(state, entry.path))
    warn(recording.parts, [_NOT_LOGGED.format(path) for path in modified])
    inputs = []
    for entry in entries:
        digest = digest_of(str(entry.hash))
        if digest in known or entry.path in modified:
            continue
        source = source_of(entry, state).to_json()
        described = _describe(state.project, entry)
        dataset = Dataset(entry.path[:_MAX_NAME], digest, "dvc", source, *described)
        inputs.append(DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "input")]))
    if inputs:
        client.log_inputs(recording.run_id, inputs)
    return inputs


def _describe(project: str, entry: Entry) -> tuple[str | None, str | None]:
    """The schema and profile of an out, if they cost the training job nearly nothing.

    MLflow keeps the first description of a dataset in an experiment. A dataset without a
    schema would therefore hide the schema that the user logs later. That is why small
    tables are read, if the job has imported pandas.
    """
    small = entry.size is not None and entry.size <= MAX_TABLE and not entry.isdir
    if project and small and "pandas" in sys.modules:
        described = _describe_table(project, entry.path, str(entry.hash))
        if described is not None:
            return described
    profile = profile_of(entry)
    return None, json.dumps(profile) if profile else None


@lru_cache(maxsize=256)
def _describe_table(project: str, path: str, digest: str) -> tuple[str, str | None] | None:
    """The schema and profile of a table; None if it is not a table, or has another hash by now."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = from_dvc(os.path.join(project, path)).to_dict()
    except (MlflowDvcError, OSError):
        return None
    if stored["digest"] != digest or not stored.get("schema"):
        return None
    return stored["schema"], stored.get("profile")


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
