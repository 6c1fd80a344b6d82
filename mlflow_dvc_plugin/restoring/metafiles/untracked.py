"""Data that a run saved although no metafile recorded it."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring.files.paths import is_within
from mlflow_dvc_plugin.state import DataState, Entry


def select_untracked(workspace: DataState, entries: Sequence[Entry]) -> list[str]:
    """Select the paths of data that no metafile will record after a restore, either.

    If one tracks the path by now, it can record the data, unless it names a source of its
    own, or its stage never ran.
    """
    today = {e.path: e for e in workspace.entries}
    found = []
    for e in entries:
        if e.metafile:
            continue
        present = today.get(e.path)
        if present is not None and present.hash and present.cached and present.kind == "plain":
            continue
        others = (
            path
            for path in today
            if path != e.path and (is_within(path, e.path) or is_within(e.path, path))
        )
        if other := next(others, None):
            raise RestoreError(
                f"The run had data at {e.path} that DVC did not track, but today DVC tracks "
                f"{other}. Use --out DIR to restore the data alone."
            )
        found.append(e.path)
    return found
