"""Which DVC project a process works on."""

from __future__ import annotations

import os
import sys

from mlflow_dvc_plugin.errors import SettingsError
from mlflow_dvc_plugin.settings import PREFIX, Settings, from_environment


def find_project(
    path: str | os.PathLike[str] | None = None, settings: Settings | None = None
) -> str | None:
    """The DVC project that a process works on.

    Args:
        path: look at or above this folder only.
        settings: the environment's by default.

    Returns:
        The project's absolute path; None outside any.

    Raises:
        SettingsError: ``MLFLOW_DVC_ROOT`` names a folder that is no project.
    """
    if path is not None:
        return _at_or_above(os.path.abspath(path))
    root = (settings or from_environment()).root
    if root is not None:
        project = os.path.abspath(os.path.expanduser(root))
        if not os.path.isdir(os.path.join(project, ".dvc")):
            raise SettingsError(f"{PREFIX}ROOT", root, "the folder of a DVC project")
        return project
    try:
        found = _at_or_above(os.getcwd())
    except OSError:  # the working directory is gone
        found = None
    if found is None:
        script = getattr(sys.modules.get("__main__"), "__file__", None)
        if isinstance(script, str):
            found = _at_or_above(os.path.dirname(os.path.abspath(script)))
    return found


def _at_or_above(folder: str) -> str | None:
    while True:
        if os.path.isdir(os.path.join(folder, ".dvc")):
            return folder
        parent = os.path.dirname(folder)
        # DVC, too, does not look beyond a mount point.
        if parent == folder or os.path.ismount(folder):
            return None
        folder = parent
