"""The artifacts of a run."""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Collection

from mlflow_dvc_plugin.tracking.run import Run
from mlflow_dvc_plugin.tracking.store import open_client, translate_errors


def read_artifact(run: Run, path: str, most: int) -> bytes | None:
    """Read a file of a run's artifacts; None if there is no such file, or it is larger.

    Args:
        run: the run.
        path: POSIX, below the run's artifacts.
        most: the largest size, in bytes.
    """
    name = posixpath.basename(path)
    return read_artifacts(run, posixpath.dirname(path), [name], most).get(name)


def read_artifacts(run: Run, folder: str, names: Collection[str], most: int) -> dict[str, bytes]:
    """Read those of the named files that are in a folder of a run's artifacts, and not larger.

    Args:
        run: the run.
        folder: POSIX, below the run's artifacts; empty for the top.
        names: of files in it.
        most: the largest size of a file, in bytes.
    """
    found = {}
    client = open_client(run.store or None)
    with translate_errors(), tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as scratch:
        for item in client.list_artifacts(run.run_id, folder or None):
            name = posixpath.basename(item.path)
            if item.is_dir or name not in names or (item.file_size or 0) > most:
                continue
            path = client.download_artifacts(run.run_id, posixpath.join(folder, name), scratch)
            if os.path.getsize(path) <= most:
                with open(path, "rb") as file:
                    found[name] = file.read()
    return found
