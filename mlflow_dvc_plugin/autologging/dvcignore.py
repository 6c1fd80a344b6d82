"""Keeping copies of metafiles from becoming metafiles.

A store's folder is often in the project (``./mlruns``), and DVC would take what
is uploaded there for its own. A ``.dvcignore`` in the folder that holds an
experiment's runs keeps DVC out, and spares it the walk.
"""

from __future__ import annotations

import os
from contextlib import suppress

from mlflow_dvc_plugin.autologging.writer import local_folder
from mlflow_dvc_plugin.state import DataState

NAME = ".dvcignore"
TEXT = "*\n"


def hide(state: DataState, run_id: str, artifact_uri: str) -> bool:
    """Hide a run's artifacts from DVC, if they are files in the project.

    Args:
        state: the project's state.
        run_id: the run.
        artifact_uri: where its artifacts go.

    Returns:
        False if they may be in the project all the same, so that a
        ``.dvcignore`` has to be among them.
    """
    if not state.project:
        return True
    folder = local_folder(artifact_uri)
    if folder is None:
        # A server that stores files itself may do so anywhere.
        return not artifact_uri.startswith("mlflow-artifacts:")
    path = os.path.realpath(folder)
    root = os.path.realpath(state.project)
    if not path.startswith(root + os.sep):
        return True
    runs = path.partition(f"{os.sep}{run_id}{os.sep}")[0]
    inside = os.path.relpath(runs, root).replace(os.sep, "/") + "/"
    known = [*(e.path for e in state.entries), *state.metafiles]
    if runs == path or inside == "./" or any(name.startswith(inside) for name in known):
        return False
    os.makedirs(runs, exist_ok=True)
    with suppress(FileExistsError), open(os.path.join(runs, NAME), "x", encoding="utf-8") as file:
        file.write(TEXT)
    return True
