"""The data state of the project that runs are looked up from."""

from __future__ import annotations

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.errors import MlflowDvcError, join_some
from mlflow_dvc_plugin.settings import load_settings
from mlflow_dvc_plugin.state import DataState

_SHOWN = 3


def read_state(root: str) -> DataState:
    """The data state that a run started in the project would record."""
    state = capture(root, settings=load_settings(root)._replace(disable=False))
    assert state is not None
    return state


def explain_path(root: str, path: str) -> str:
    """Why no run may have an out at a path of the project; empty if nothing explains it."""
    try:
        entries = read_state(root).entries
    except MlflowDvcError:
        return ""
    outs = [e.path for e in entries if e.cached]
    if path in outs:
        used = f"A run in a DVC stage used the stage's deps alone: {path} may be none of them."
        return used if any(e.stage for e in entries) else ""
    if any(e.path == path for e in entries):
        return f"{path} is `cache: false`, so Git has its history: use `git log {path}`."
    for out in outs:
        if path.startswith(f"{out}/"):
            return f"{path} is in {out}, which DVC tracks as a whole: use {out}."
    inside = [out for out in outs if path == "." or out.startswith(f"{path}/")]
    if inside:
        return f"{path} is not an output, but contains some: use {join_some(inside, _SHOWN)}."
    return f"DVC does not track {path} now: `mlflow-dvc status` shows what it tracks."
