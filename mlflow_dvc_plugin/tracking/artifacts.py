"""The artifacts of a run."""

from __future__ import annotations

import posixpath
import tempfile

from mlflow_dvc_plugin.tracking.run import Run
from mlflow_dvc_plugin.tracking.store import open_client, translate_errors


def read_artifact(run: Run, path: str, most: int) -> bytes | None:
    """Read a file of a run's artifacts; None if there is no such file, or it is larger.

    Args:
        run: the run.
        path: POSIX, below the run's artifacts.
        most: the largest size, in bytes.
    """
    client = open_client(run.store or None)
    with translate_errors(), tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        items = client.list_artifacts(run.run_id, posixpath.dirname(path) or None)
        found = [item for item in items if item.path == path and not item.is_dir]
        if not found or (found[0].file_size or 0) > most:
            return None
        with open(client.download_artifacts(run.run_id, path, folder), "rb") as file:
            data = file.read(most + 1)
    return data if len(data) <= most else None
