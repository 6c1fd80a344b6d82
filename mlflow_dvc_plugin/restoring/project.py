"""Find the project that runs are looked up from, and open it for a restore."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.errors import NoProjectError, RestoreError

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject


def find_root(folder: str | None = None, hint: str = "Change to the project of the run.") -> str:
    """Find the project at or above a folder; None stands for the working directory."""
    root = find_project(folder)
    if root is None:
        raise NoProjectError(f"{folder or os.getcwd()} is not in a DVC project. {hint}")
    return root


def check_no_stage() -> None:
    """Refuse to change data while DVC runs the stage that this process belongs to."""
    stage = os.environ.get("DVC_STAGE")
    if stage:
        raise RestoreError(
            f"DVC is running stage {stage!r}, and changing data now would spoil its result. Run "
            "the command when the stage has ended."
        )


@contextmanager
def open_project(root: str, config: Mapping[str, Any] | None = None) -> Iterator[DvcProject]:
    """Open a project, and translate errors of the disk and of DVC's databases.

    `config` takes the place of a configuration that the project does not have.
    """
    from mlflow_dvc_plugin.dvc.project import DvcProject

    try:
        with closing(DvcProject(root, config)) as dvc:
            yield dvc
    except OSError as err:
        raise RestoreError(
            f"{err.strerror or err} ({err.filename or root}). Solve this, then run the same "
            "command again."
        ) from err
    except (UnicodeError, sqlite3.Error) as err:
        raise RestoreError(f"DVC's files cannot be read ({err}). Run `dvc doctor`.") from err
