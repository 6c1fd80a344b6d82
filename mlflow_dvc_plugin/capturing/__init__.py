"""The data state of a project: walk, metafiles, stages, status.

A guest in someone's training job: only the standard library, PyYAML and
pathspec; nothing is printed, no lock is waited for, and nothing is written
outside ``.dvc/tmp``.
"""

from __future__ import annotations

import os

from mlflow_dvc_plugin.capturing.project import find_project
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState

__all__ = ["capture", "find_project"]


def capture(
    path: str | os.PathLike[str] | None = None, settings: Settings | None = None
) -> DataState | None:
    """The data state of a project, as of now.

    Args:
        path: a folder in the project; by default the project that the process
            works on (see :func:`find_project`).
        settings: the environment's and the project's by default.

    Returns:
        None outside a project, or if the settings disable capture.

    Raises:
        CaptureError: the state cannot be read truthfully.
        SettingsError: a setting has a value that cannot be used.
    """
    from mlflow_dvc_plugin.settings import for_project, from_environment

    chosen = settings or from_environment()
    if chosen.disable:
        return None
    project = find_project(path, chosen)
    if project is None:
        return None
    chosen = settings or for_project(project)
    if chosen.disable:
        return None
    from mlflow_dvc_plugin.capturing.snapshot import snapshot

    return snapshot(project, chosen)
