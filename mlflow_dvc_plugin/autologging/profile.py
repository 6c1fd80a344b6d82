"""Schema and profile of an out, as far as they cost a training job next to nothing."""

from __future__ import annotations

import json
import os
import sys
import warnings
from functools import lru_cache

from mlflow_dvc_plugin.datasets.constructor import from_dvc
from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.state import Entry

MAX_TABLE = 16 * 1024 * 1024  # bytes


def describe(project: str, entry: Entry) -> tuple[str | None, str | None]:
    """Schema and profile as MLflow stores them, of a small table if the job has pandas.

    MLflow keeps the first description of a dataset for the whole experiment, so
    one without schema would stand in the way of the user's own with it.

    Args:
        project: absolute path of the project; empty without one.
        entry: the out.
    """
    small = entry.size is not None and entry.size <= MAX_TABLE and not entry.isdir
    if project and small and "pandas" in sys.modules:
        found = _table(project, entry.path, str(entry.hash))
        if found is not None:
            return found
    counts = {"num_files": entry.nfiles, "size": entry.size}
    profile = {key: value for key, value in counts.items() if value is not None}
    return None, json.dumps(profile) if profile else None


@lru_cache(maxsize=256)
def _table(project: str, path: str, value: str) -> tuple[str | None, str | None] | None:
    """What a table with this hash looks like; None if it is none, or has another by now."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = from_dvc(os.path.join(project, path)).to_dict()
    except (MlflowDvcError, OSError):
        return None
    if stored["digest"] != value or not stored.get("schema"):
        return None
    return stored["schema"], stored.get("profile")
