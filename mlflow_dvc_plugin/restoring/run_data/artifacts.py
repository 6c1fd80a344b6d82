"""Read the state from a run's artifacts, which are files below ``dvc/``.

Artifacts come from others and are not trusted: sizes and counts are limited,
paths stay inside a temporary folder, and the caller compares the fingerprint.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterator
from typing import Any

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState, state_file

_FOLDER = "dvc"
_STATE_FILE = "state.json"
_MAX_FILES = 2_000
_MAX_DEPTH = 30
_METAFILES = ("dvc.yaml", "dvc.lock")
# Kinds of files that a dvc.yaml can take variables from.
_VARIABLES = (".yaml", ".yml", ".json", ".toml", ".py")


def read_artifacts(client: Any, run_id: str) -> DataState | None:
    """Read the state from a run's artifacts; None if the run has none there."""
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        items = {item.path: item for item in client.list_artifacts(run_id, _FOLDER)}
        item = items.get(f"{_FOLDER}/{_STATE_FILE}")
        if item is not None and (item.file_size or 0) <= state_file.MAX_BYTES:
            path = client.download_artifacts(run_id, item.path, folder)
            return state_file.read(path)._replace(source="artifacts")
        if not items or item is not None:
            return None
        return _read_metafiles(client, run_id, folder)


def _read_metafiles(client: Any, run_id: str, folder: str) -> DataState | None:
    """Rebuild a project from the metafiles among the artifacts, and capture it."""
    project, scratch = os.path.join(folder, "project"), os.path.join(folder, "scratch")
    os.mkdir(scratch)
    has_metafile = False
    free = state_file.MAX_BYTES
    for number, item in enumerate(_walk(client, run_id, _FOLDER, _MAX_DEPTH)):
        name = posixpath.basename(item.path)
        is_metafile = name in _METAFILES or name.endswith(".dvc")
        if not is_metafile and not name.endswith(_VARIABLES):
            continue
        free -= item.file_size or 0
        if free < 0 or number >= _MAX_FILES:
            return None
        # Some stores keep the folders of the artifact's path, others do not.
        source = client.download_artifacts(run_id, item.path, scratch)
        # A store may say that a file is smaller than it is.
        free -= max(0, os.path.getsize(source) - (item.file_size or 0))
        if free < 0:
            return None
        target = os.path.join(project, *item.path.split("/")[1:])
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(source, target)
        has_metafile = has_metafile or is_metafile
    if not has_metafile:
        return None
    os.makedirs(os.path.join(project, ".dvc"), exist_ok=True)
    state = capture(project, settings=Settings(status_budget_ms=0))
    assert state is not None
    return DataState(root=".", entries=state.entries, metafiles=state.metafiles, source="artifacts")


def _walk(client: Any, run_id: str, path: str, depth: int) -> Iterator[Any]:
    for item in client.list_artifacts(run_id, path):
        parts = item.path.split("/")
        if ".." in parts or ".dvc" in parts or not item.path.startswith(f"{_FOLDER}/"):
            continue
        if not item.is_dir:
            yield item
        elif depth > 0:
            yield from _walk(client, run_id, item.path, depth - 1)
