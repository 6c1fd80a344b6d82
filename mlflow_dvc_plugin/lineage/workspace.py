"""The workspace that questions about runs are asked from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.capturing import capture, find_project
from mlflow_dvc_plugin.errors import MlflowDvcError, NoProjectError
from mlflow_dvc_plugin.settings import load_settings
from mlflow_dvc_plugin.state import DataState

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

_SHOWN = 3


def root_of(project: str | None = None) -> str:
    """The absolute path of the project.

    Args:
        project: its folder, or one in it; None for the working directory's.

    Raises:
        NoProjectError: there is none.
    """
    root = find_project(project)
    if root is None:
        raise NoProjectError(
            f"{project or os.getcwd()} is in no DVC project: go to the one that the runs are of."
        )
    return root


def state_now(root: str) -> DataState:
    """The data state that a run started in the project would record.

    Raises:
        MlflowDvcError: its metafiles or settings cannot be read.
    """
    chosen = load_settings(root)
    state = capture(root, settings=replace(chosen, disable=False))
    assert state is not None
    return state


def near(root: str, path: str) -> str:
    """What DVC tracks near a path that is no output, for a person who asked for it; may be empty.

    Args:
        root: absolute path of the project.
        path: relative to it.
    """
    try:
        entries = state_now(root).entries
    except MlflowDvcError:
        return ""
    outs = [e.path for e in entries if e.cached]
    if path in outs:
        return ""
    if any(e.path == path for e in entries):
        return f"{path} is `cache: false`, so it is Git's: `git log {path}` tells its versions."
    for out in outs:
        if path.startswith(f"{out}/"):
            return f"{path} is inside {out}, which DVC tracks as one: ask for {out}."
    inside = [out for out in outs if path == "." or out.startswith(f"{path}/")]
    if inside:
        more = ", …" if len(inside) > _SHOWN else ""
        return f"{path} is no output, it has some: ask for {', '.join(inside[:_SHOWN])}{more}."
    return f"DVC tracks nothing at {path} now: see `mlflow-dvc status`."


@contextmanager
def opened(root: str | None) -> Iterator[DvcProject | None]:
    """The project as DVC sees it; None outside one."""
    if root is None:
        yield None
        return
    from mlflow_dvc_plugin.dvc.project import DvcProject

    dvc = DvcProject(root)
    try:
        yield dvc
    finally:
        dvc.close()
