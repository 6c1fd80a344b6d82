"""Writing to a run, so that what the user logged always wins."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from mlflow_dvc_plugin.autologging.profile import describe
from mlflow_dvc_plugin.datasets.source import digest_of, source_of
from mlflow_dvc_plugin.state import DataState, Entry

CONTEXT = "input"
FOLDER = "dvc"
_BATCH = 100  # params or tags at once
_METRICS_BATCH = 800
# What values MLflow stores take: 3.x and late 2.x, then older servers.
_VALUE_LIMITS = (6000, 500, 250)


def tags(client: Any, run_id: str, values: Mapping[str, str]) -> None:
    """Set tags."""
    from mlflow.entities import RunTag

    items = [RunTag(key, value) for key, value in values.items()]
    for start in range(0, len(items), _BATCH):
        client.log_batch(run_id, tags=items[start : start + _BATCH], synchronous=True)


def artifacts(client: Any, run: Any, files: Mapping[str, bytes]) -> None:
    """Upload files below ``dvc/``.

    Args:
        client: an ``MlflowClient``.
        run: the run, an ``mlflow.entities.Run``.
        files: their bytes, by path.
    """
    folder = local_folder(run.info.artifact_uri)
    if folder is not None:
        # What MLflow's client would do, too, after it had asked the store for the run.
        _write(os.path.join(folder, FOLDER), files)
        return
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as staged:
        _write(staged, files)
        client.log_artifacts(run.info.run_id, staged, FOLDER)


def local_folder(artifact_uri: str) -> str | None:
    """The folder that has a run's artifacts; None if they go elsewhere."""
    if urlsplit(artifact_uri).scheme not in ("", "file"):
        return None
    from mlflow.utils.file_utils import local_file_uri_to_path

    return str(local_file_uri_to_path(artifact_uri))


def _write(folder: str, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        target = os.path.join(folder, *path.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)


def text(client: Any, run_id: str, content: str, name: str) -> None:
    """Upload one text file below ``dvc/``."""
    client.log_text(run_id, content, f"{FOLDER}/{name}")


def has_artifact(client: Any, run_id: str, name: str) -> bool:
    """Does the run have this file below ``dvc/``?"""
    return any(item.path == f"{FOLDER}/{name}" for item in client.list_artifacts(run_id, FOLDER))


def plots(client: Any, run_id: str, project: str, paths: Iterable[str]) -> None:
    """Upload plots files below ``dvc/``."""
    for path in paths:
        above = os.path.dirname(path)
        client.log_artifact(
            run_id, os.path.join(project, path), f"{FOLDER}/{above}" if above else FOLDER
        )


def datasets(
    client: Any, run_id: str, state: DataState, entries: Sequence[Entry], known: Iterable[str]
) -> None:
    """Add outs as dataset inputs.

    Args:
        client: an ``MlflowClient``.
        run_id: the run.
        state: what the outs are part of.
        entries: the outs.
        known: digests of the datasets that the run has.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    present = set(known)
    inputs = []
    for entry in entries:
        digest = digest_of(str(entry.hash))
        if digest in present:
            continue
        schema, profile = describe(state.project, entry)
        dataset = Dataset(
            name=entry.path[:500],
            digest=digest,
            source_type="dvc",
            source=source_of(entry, state).to_json(),
            schema=schema,
            profile=profile,
        )
        inputs.append(DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, CONTEXT)]))
    if inputs:
        client.log_inputs(run_id, inputs)


def params(
    client: Any, run_id: str, values: Mapping[str, str], known: Mapping[str, str]
) -> list[str]:
    """Log params that the run does not have; what is to be said of others.

    Args:
        client: an ``MlflowClient``.
        run_id: the run.
        values: the params.
        known: those that the run has.
    """
    from mlflow.entities import Param

    said = [
        f"param {key!r} keeps the value that was logged, {known[key]!r}; DVC has {value!r}"
        for key, value in values.items()
        if known.get(key, value) != value
    ]
    new = {key: value for key, value in values.items() if key not in known}
    items = list(new.items())
    for start in range(0, len(items), _BATCH):
        for limit in _VALUE_LIMITS:
            batch = items[start : start + _BATCH]
            try:
                client.log_batch(
                    run_id,
                    params=[Param(key, value[:limit]) for key, value in batch],
                    synchronous=True,
                )
            except Exception as err:
                if limit == _VALUE_LIMITS[-1] or "length" not in str(err):
                    raise
                continue
            cut = [key for key, value in batch if len(value) > limit]
            said += [f"param {key!r} is cut to {limit} characters" for key in cut]
            break
    return said


def metrics(client: Any, run_id: str, values: Mapping[str, float], known: Iterable[str]) -> None:
    """Log metrics that the run does not have."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    present = set(known)
    items = [Metric(key, value, now, 0) for key, value in values.items() if key not in present]
    for start in range(0, len(items), _METRICS_BATCH):
        client.log_batch(run_id, metrics=items[start : start + _METRICS_BATCH], synchronous=True)


def inputs_of(state: DataState, most: int) -> list[Entry]:
    """The outs that a run has as datasets: the same as those with a tag of their own."""
    if state.stage is None:
        shown = [e for e in state.entries if e.cached and e.hash]
        shown.sort(key=lambda e: (e.stage is not None, e.path))
    else:
        shown = [e for e in state.entries if e.input and e.hash]
    return shown[:most]
