"""Capture: read the data state of a project from its metafiles and its workspace.

Capture runs inside training jobs. So it imports only the standard library,
PyYAML and pathspec, prints nothing, waits for no lock, and writes nothing
outside ``.dvc/tmp``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.capturing.project import find_project
from mlflow_dvc_plugin.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlflow_dvc_plugin.state import DataState

__all__ = ["capture", "find_project"]


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
