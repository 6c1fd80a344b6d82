"""The project that runs are looked up from, and its data state."""

from __future__ import annotations

import os
from dataclasses import replace

from mlflow_dvc_plugin.capturing import capture, find_project
from mlflow_dvc_plugin.errors import MlflowDvcError, NoProjectError, join_some
from mlflow_dvc_plugin.settings import load_settings
from mlflow_dvc_plugin.state import DataState

_SHOWN = 3


def find_root(project: str | None = None) -> str:
    """The absolute path of the project at or above a folder; None for the working directory."""
    root = find_project(project)
    if root is None:
        raise NoProjectError(
            f"{project or os.getcwd()} is not in a DVC project. Change to the project of the runs."
        )
    return root


def read_state(root: str) -> DataState:
    """The data state that a run started in the project would record."""
    state = capture(root, settings=replace(load_settings(root), disable=False))
    assert state is not None
    return state


def explain_path(root: str, path: str) -> str:
    """Why no run may have an out at a path of the project; empty if there is an out."""
    try:
        entries = read_state(root).entries
    except MlflowDvcError:
        return ""
    outs = [e.path for e in entries if e.cached]
    if path in outs:
        return ""
    if any(e.path == path for e in entries):
        return f"{path} is `cache: false`, so Git has its history: use `git log {path}`."
    for out in outs:
        if path.startswith(f"{out}/"):
            return f"{path} is in {out}, which DVC tracks as a whole: use {out}."
    inside = [out for out in outs if path == "." or out.startswith(f"{path}/")]
    if inside:
        return f"{path} is not an output, but contains some: use {join_some(inside, _SHOWN)}."
    return f"DVC does not track {path} now: `mlflow-dvc status` shows what it tracks."
