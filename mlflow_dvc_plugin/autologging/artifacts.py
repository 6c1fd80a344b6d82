"""The artifacts of a run below ``dvc/``: state, metafiles, params, environment and plots files."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from mlflow_dvc_plugin.state import DataState, state_file

FOLDER = "dvc"
STATE_FILE = "state.json"
CODE_FILE = "code.diff"
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
MAX_BYTES = 8 * 1024 * 1024  # of one params or environment file
MAX_PLOTS = 200
MAX_PLOT_BYTES = 16 * 1024 * 1024
MAX_PLOTS_BYTES = 64 * 1024 * 1024  # of all plots of a run
# A URL with a password or token in it.
_SECRET = re.compile(rb"://[^\s/@'\"]*:[^\s/@'\"]+@|https?://[^\s/@'\"]+@", re.IGNORECASE)
_DVCIGNORE, _IGNORE_ALL = ".dvcignore", "*\n"


def collect_files(state: DataState, params_files: Iterable[str]) -> dict[str, bytes]:
    """The bytes of the files, by their path below ``dvc/``, without files with a secret in them."""
    public = {path: data for path, data in state.metafiles.items() if not _SECRET.search(data)}
    # Pipelines and the files at the top come first.
    paths = sorted(public, key=lambda path: (path.endswith(".dvc"), path.count("/"), path))
    files = {path: public[path] for path in paths[:MAX_METAFILES]}
    for path in (*params_files, *ENVIRONMENT_FILES) if state.project else ():
        data = _read_file(os.path.join(state.project, path))
        if data is not None and not _SECRET.search(data):
            files[path] = data
    files = {path: data for path, data in files.items() if _is_artifact_path(path)}
    # The state keeps the hash of each dvc.yaml, also of one that is left out.
    pipelines = {
        path: hashlib.md5(data, usedforsecurity=False).hexdigest()[:16]
        for path, data in state.metafiles.items()
        if posixpath.basename(path) == "dvc.yaml"
    }
    shared = state._replace(metafiles=public, pipelines={**state.pipelines, **pipelines})
    if state.program is not None:
        shared = shared._replace(program=state.program._replace(diff=b""))
    document = state_file.dumps(shared).encode()
    if len(document) <= state_file.MAX_BYTES:
        files[STATE_FILE] = document
    return files


def upload_files(client: Any, run: Any, state: DataState, files: Mapping[str, bytes]) -> None:
    """Upload files, and hide them from DVC.

    The folder of an artifact store is often in the project (``./mlruns``). DVC would
    take the metafiles there for the project's.
    """
    run_id, uri = run.info.run_id, run.info.artifact_uri
    # The .dvcignore must be there before the metafiles are: DVC may run at any moment.
    if not _hide_from_dvc(state, run_id, uri):
        client.log_text(run_id, _IGNORE_ALL, f"{FOLDER}/{_DVCIGNORE}")
    folder = _local_folder(uri)
    if folder is not None:
        # MLflow's client does the same, but first reads the run from the store again.
        _write_files(os.path.join(folder, FOLDER), files)
        return
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as staging:
        _write_files(staging, files)
        client.log_artifacts(run_id, staging, FOLDER)


def has_state_file(client: Any, run_id: str) -> bool:
    """The run's artifacts were uploaded before."""
    path = f"{FOLDER}/{STATE_FILE}"
    return any(item.path == path for item in client.list_artifacts(run_id, FOLDER))


def upload_plots(client: Any, run_id: str, project: str, paths: Iterable[str]) -> list[str]:
    """Upload plots files, and return warnings about those that are too large or too many."""
    problems: list[str] = []
    count, room = 0, MAX_PLOTS_BYTES
    for path in paths:
        full = os.path.join(project, path)
        size = os.path.getsize(full)
        if size > min(room, MAX_PLOT_BYTES) or count == MAX_PLOTS:
            problems.append(
                f"{path} ({size:,} bytes) is not uploaded: a run gets at most {MAX_PLOTS} plots "
                f"files, of {MAX_PLOT_BYTES:,} bytes each and {MAX_PLOTS_BYTES:,} bytes together."
            )
            continue
        client.log_artifact(run_id, full, f"{FOLDER}/{os.path.dirname(path)}".rstrip("/"))
        count, room = count + 1, room - size
    return problems


def _read_file(path: str) -> bytes | None:
    with suppress(OSError):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
            return data if len(data) <= MAX_BYTES else None
    return None


def _is_artifact_path(path: str) -> bool:
    """MLflow's artifact stores accept the path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return posixpath.normpath(path) == path and not any(c in path for c in "#?%\\\n\r")


def _hide_from_dvc(state: DataState, run_id: str, artifact_uri: str) -> bool:
    """Write a ``.dvcignore`` into the folder of the experiment's runs, if it is in the project.

    False if the artifacts may be in the project and the run needs a ``.dvcignore`` of its own.
    """
    if not state.project:
        return True
    folder = _local_folder(artifact_uri)
    if folder is None:
        # A tracking server may store artifacts in any folder.
        return not artifact_uri.startswith("mlflow-artifacts:")
    path, root = os.path.realpath(folder), os.path.realpath(state.project)
    if not path.startswith(root + os.sep):
        return True
    runs = path.partition(f"{os.sep}{run_id}{os.sep}")[0]
    inside = os.path.relpath(runs, root).replace(os.sep, "/") + "/"
    paths = [*(entry.path for entry in state.entries), *state.metafiles]
    if runs == path or inside == "./" or any(name.startswith(inside) for name in paths):
        return False
    os.makedirs(runs, exist_ok=True)
    ignore = os.path.join(runs, _DVCIGNORE)
    with suppress(FileExistsError), open(ignore, "x", encoding="utf-8") as file:
        file.write(_IGNORE_ALL)
    return True


def _local_folder(artifact_uri: str) -> str | None:
    """The folder of a run's artifacts; None if it is not on this machine."""
    if urlsplit(artifact_uri).scheme not in ("", "file"):
        return None
    from mlflow.utils.file_utils import local_file_uri_to_path

    return str(local_file_uri_to_path(artifact_uri))


def _write_files(folder: str, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        target = os.path.join(folder, *path.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)
