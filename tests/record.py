"""Runs for tests: recorded by the real capture, with or without an MLflow store."""

from __future__ import annotations

import itertools
from pathlib import Path

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.commit_state import add_commit_entries
from mlflow_dvc_plugin.capturing.snapshot import take_snapshot
from mlflow_dvc_plugin.settings import load_settings
from mlflow_dvc_plugin.tracking import Run

_numbers = itertools.count(1)


def record(project: Path) -> Run:
    """The run that a training script in `project` would leave."""
    state = capture(project)
    assert state is not None
    number = next(_numbers)
    return Run(f"{number:032x}", f"run-{number}", "0", 0, state.to_tags())


def record_saved(
    project: Path, save: bool | tuple[str, ...] = True, most: int | None = None
) -> Run:
    """The run of a training script that MLFLOW_DVC_SAVE tells to save its data."""
    settings = load_settings(str(project))._replace(save=save, save_max=most)
    state = add_commit_entries(take_snapshot(str(project), settings, save_data=True))
    number = next(_numbers)
    return Run(f"{number:032x}", f"run-{number}", "0", 0, state.to_tags())


def snapshot(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a project, its Git and DVC folders left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {".git", ".dvc"} & set(path.relative_to(folder).parts)
    }
