"""A run's data as a read-only artifact repository of MLflow."""

from __future__ import annotations

import os
import posixpath
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from mlflow_dvc_plugin.errors import ReadOnlyError
from mlflow_dvc_plugin.run_files.file_system import RunFileSystem
from mlflow_dvc_plugin.run_files.uri import parse_uri

# `mlflow server` sets it for its workers, and for the jobs that they start.
_SERVER = "_MLFLOW_SERVER_ARTIFACT_ROOT"
_is_opening: ContextVar[bool] = ContextVar("is_opening", default=False)


def check_caller() -> None:
    """Refuse to act for a tracking server, or for the artifacts of a run that is being read.

    An address may come from someone who created an experiment or a model version. A server
    would read data for them with its own credentials.

    Raises:
        MlflowException: that is the case.
    """
    flask: Any = sys.modules.get("flask")
    is_asked = flask is not None and flask.has_request_context()
    if _SERVER in os.environ or (is_asked and flask.current_app.name.startswith("mlflow.")):
        raise MlflowException.invalid_parameter_value(
            "A tracking server does not read addresses that start with mlflow-dvc://. Read them in "
            "a client."
        )
    if _is_opening.get():
        raise MlflowException.invalid_parameter_value(
            "The run's artifacts have an address that starts with mlflow-dvc://, which refers to "
            "data of runs and cannot describe it."
        )


class RunDataRepository(ArtifactRepository):  # type: ignore[misc]
    """The data of a run, or a folder of it, at ``mlflow-dvc://RUN/PATH``.

    It is read from the project at the working directory, or from ``MLFLOW_DVC_URL``, and each
    file that is downloaded is verified by its hash.
    """

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri)
        self.tracking_uri = tracking_uri
        self.registry_uri = registry_uri
        self._files: dict[str, RunFileSystem] = {}

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """What is in a folder, with sizes; nothing if it is a file, or does not exist."""
        files, inside = self._locate(path)
        if not files.isdir(inside):
            return []
        found = []
        for info in files.ls(inside):
            name = posixpath.join(path or "", posixpath.basename(info["name"]))
            isdir = info["type"] == "directory"
            found.append(FileInfo(name, isdir, None if isdir else info["size"]))
        return found

    def download_artifacts(
        self, artifact_path: str, dst_path: str | None = None, *_: Any, **__: Any
    ) -> str:
        """Write a file or folder below `dst_path`, verified; return where it is.

        Raises:
            NoFileError: the run has no data there.
            NoObjectError: neither the cache nor the remote has it.
        """
        files, inside = self._locate(artifact_path)
        folder = os.path.abspath(dst_path or tempfile.mkdtemp(prefix="mlflow-dvc-"))
        target = os.path.normpath(os.path.join(folder, artifact_path or ""))
        if not files.isdir(inside):
            files.get_file(inside, target)
            return target
        os.makedirs(target, exist_ok=True)
        names = files.find(inside)
        files.get(names, [os.path.join(target, posixpath.relpath(n, inside or ".")) for n in names])
        return target

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        files, inside = self._locate(remote_file_path)
        files.get_file(inside, local_path)

    def _locate(self, path: str | None) -> tuple[RunFileSystem, str]:
        """The files of the run, and where in them a path of this repository is."""
        run, inside = parse_uri(posixpath.join(self.artifact_uri, path or ""))
        if run not in self._files:
            with _opening():
                self._files[run] = RunFileSystem(run, tracking_uri=self.tracking_uri)
        return self._files[run], inside

    # -- writing -------------------------------------------------------------------

    def log_artifact(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: the data of a run cannot be changed."""
        raise ReadOnlyError

    log_artifacts = delete_artifacts = log_artifact


@contextmanager
def _opening() -> Iterator[None]:
    token = _is_opening.set(True)
    try:
        yield
    finally:
        _is_opening.reset(token)
