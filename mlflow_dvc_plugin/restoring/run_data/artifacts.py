"""The state that a run keeps as files below ``dvc/``.

Whoever writes artifacts is not trusted: sizes and counts are bounded, paths
stay inside a scratch folder, and the caller compares the fingerprint.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.state import state_file as statefile

FOLDER = "dvc"
STATE_FILE = "state.json"
MAX_FILES = 2_000
_METAFILES = ("dvc.yaml", "dvc.lock")
_DEPTH = 30
# What a dvc.yaml may take variables from.
_VARIABLES = (".yaml", ".yml", ".json", ".toml", ".py")


def state_of(client: Any, run_id: str) -> DataState | None:
    """The state in a run's artifacts; None if it has none there.

    Args:
        client: an ``MlflowClient``.
        run_id: the run.

    Raises:
        StateFileError: the file of the state is damaged.
        CaptureError: the metafiles cannot be read.
        MlflowException: the store did not answer.
    """
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        listed = {item.path: item for item in client.list_artifacts(run_id, FOLDER)}
        whole = listed.get(f"{FOLDER}/{STATE_FILE}")
        if whole is not None and (whole.file_size or 0) <= statefile.MAX_BYTES:
            path = client.download_artifacts(run_id, whole.path, folder)
            return replace(statefile.read(path), source="artifacts")
        if not listed or whole is not None:
            return None
        return _from_metafiles(client, run_id, folder)


def _from_metafiles(client: Any, run_id: str, folder: str) -> DataState | None:
    project, scratch = os.path.join(folder, "project"), os.path.join(folder, "scratch")
    os.mkdir(scratch)
    found = False
    room = statefile.MAX_BYTES
    for number, item in enumerate(_walk(client, run_id, FOLDER, _DEPTH)):
        name = posixpath.basename(item.path)
        metafile = name in _METAFILES or name.endswith(".dvc")
        if not metafile and not name.endswith(_VARIABLES):
            continue
        room -= item.file_size or 0
        if room < 0 or number >= MAX_FILES:
            return None
        # Some stores keep the folders of its path, others do not.
        arrived = client.download_artifacts(run_id, item.path, scratch)
        target = os.path.join(project, *item.path.split("/")[1:])
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(arrived, target)
        found = found or metafile
    if not found:
        return None
    os.makedirs(os.path.join(project, ".dvc"), exist_ok=True)
    state = capture(project, settings=Settings(status_budget_ms=0))
    assert state is not None
    return DataState(root=".", entries=state.entries, metafiles=state.metafiles, source="artifacts")


def _walk(client: Any, run_id: str, path: str, depth: int) -> Iterator[Any]:
    for item in client.list_artifacts(run_id, path):
        parts = item.path.split("/")
        if ".." in parts or ".dvc" in parts or not item.path.startswith(f"{FOLDER}/"):
            continue
        if not item.is_dir:
            yield item
        elif depth > 0:
            yield from _walk(client, run_id, item.path, depth - 1)
