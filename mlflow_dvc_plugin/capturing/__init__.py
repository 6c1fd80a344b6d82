"""Capture: read the data state of a project from its metafiles and its workspace.

Capture runs inside training jobs. So it imports only the standard library,
PyYAML and pathspec, prints nothing, waits for no lock, and writes nothing
outside ``.dvc/tmp``. Only MLFLOW_DVC_SAVE makes it save data in DVC's cache.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.errors import SettingsError
from mlflow_dvc_plugin.settings import PREFIX, Settings, load_settings

if TYPE_CHECKING:
    from mlflow_dvc_plugin.state import DataState


def capture(
    path: str | os.PathLike[str] | None = None, settings: Settings | None = None
) -> DataState | None:
    """Capture the data state of a project.

    Args:
        path: a folder in the project; by default the project that the process
            works on (see :func:`find_project`).
        settings: by default those of the environment and of the project.

    Returns:
        The state; None outside a project, or if the settings disable capture.

    Raises:
        CaptureError: the metafiles cannot be read, or DVC would refuse them.
        SettingsError: a setting has a value that cannot be used.
    """
    first = settings or load_settings()
    project = None if first.disable else find_project(path, first)
    if project is None:
        return None
    settings = settings or load_settings(project)
    if settings.disable:
        return None
    from mlflow_dvc_plugin.capturing.snapshot import take_snapshot

    return take_snapshot(project, settings)


def find_project(
    path: str | os.PathLike[str] | None = None, settings: Settings | None = None
) -> str | None:
    """Find the DVC project that a process works on; None outside any project.

    With `path`, only that folder and those above it are searched.
    """
    if path is not None:
        return _search_upwards(os.path.abspath(path))
    root = (settings or load_settings()).root
    if root is not None:
        project = os.path.abspath(os.path.expanduser(root))
        if not os.path.isdir(os.path.join(project, ".dvc")):
            raise SettingsError(f"{PREFIX}ROOT", root, "the folder of a DVC project")
        return project
    try:
        found = _search_upwards(os.getcwd())
    except OSError:  # the working directory was deleted
        found = None
    if found is None:
        script = getattr(sys.modules.get("__main__"), "__file__", None)
        if isinstance(script, str):
            found = _search_upwards(os.path.dirname(os.path.abspath(script)))
    return found


def _search_upwards(folder: str) -> str | None:
    while True:
        if os.path.isdir(os.path.join(folder, ".dvc")):
            return folder
        parent = os.path.dirname(folder)
        # DVC does not search beyond a mount point either.
        if parent == folder or os.path.ismount(folder):
            return None
        folder = parent
