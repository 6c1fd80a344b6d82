"""The files that go with a run: its state, metafiles, params and environment."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import replace

from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.state import state_file as statefile

STATE_FILE = "state.json"
ENVIRONMENT_FILES = (
    "requirements.txt",
    "conda.yaml",
    "conda.yml",
    "environment.yaml",
    "environment.yml",
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile",
    "Pipfile.lock",
    "pixi.lock",
    "Dockerfile",
)
MAX_METAFILES = 100
MAX_BYTES = 8 * 1024 * 1024  # of one file
# A URL with a password or token in it.
_SECRET = re.compile(rb"://[^\s/@'\"]*:[^\s/@'\"]+@|https?://[^\s/@'\"]+@", re.IGNORECASE)


def collect(state: DataState, params: Iterable[str]) -> dict[str, bytes]:
    """The bytes of the files, by their path below ``dvc/``.

    Args:
        state: the run's state.
        params: params files, relative to the project.
    """
    public = {path: data for path, data in state.metafiles.items() if not _SECRET.search(data)}
    pipelines = {
        path: hashlib.md5(data, usedforsecurity=False).hexdigest()[:16]
        for path, data in state.metafiles.items()
        if posixpath.basename(path) == "dvc.yaml"
    }
    shown = sorted(public, key=lambda path: (path.endswith(".dvc"), path.count("/"), path))
    found = {path: public[path] for path in shown[:MAX_METAFILES]}
    if state.project:
        for path in (*params, *ENVIRONMENT_FILES):
            data = _read(os.path.join(state.project, path))
            if data is not None and not _SECRET.search(data):
                found[path] = data
    found = {path: data for path, data in found.items() if _nameable(path)}
    recorded = replace(state, metafiles=public, pipelines={**state.pipelines, **pipelines})
    found[STATE_FILE] = statefile.dumps(recorded).encode()
    return {path: data for path, data in found.items() if len(data) <= statefile.MAX_BYTES}


def digest(files: dict[str, bytes]) -> str:
    """One hash over all the files."""
    total = hashlib.md5(usedforsecurity=False)
    for path in sorted(files):
        total.update(f"{path}\0{len(files[path])}\0".encode())
        total.update(files[path])
    return total.hexdigest()


def _read(path: str) -> bytes | None:
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        return None
    return data if len(data) <= MAX_BYTES else None


def _nameable(path: str) -> bool:
    """MLflow's artifact stores take only plain names."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return posixpath.normpath(path) == path and not any(c in path for c in "#?%\\\n\r")
