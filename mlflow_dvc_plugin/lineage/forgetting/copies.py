"""Copies of objects that a deletion does not reach: in the workspace, and for an undo."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from mlflow_dvc_plugin.dvc.hashing import HASH_NAMES
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import RestoreError, UnsafePathError
from mlflow_dvc_plugin.lineage.forgetting.targets import Targets
from mlflow_dvc_plugin.restoring.files.paths import check_path
from mlflow_dvc_plugin.restoring.undo_records.store import list_records


def find_copies(dvc: DvcProject, targets: Targets, paths: Iterable[str]) -> dict[str, bool]:
    """Those of the paths at which the workspace has one of the objects.

    The value is True for a link into the cache, which has no content of its own.
    """
    inside = tuple(os.path.realpath(folder) + os.sep for folder in dvc.cache.folders)
    copies = {}
    for path in sorted(paths):
        full = os.path.join(dvc.root, path)
        if _is_file(path, full) and any(_compare(dvc, targets, full)):
            copies[path] = os.path.realpath(full).startswith(inside)
    return copies


def _is_file(path: str, full: str) -> bool:
    try:
        check_path(path)
        return stat.S_ISREG(os.stat(full).st_mode)
    except (UnsafePathError, OSError, ValueError):
        return False


def _compare(dvc: DvcProject, targets: Targets, full: str) -> Iterator[bool]:
    known = dvc.database.find_hashes({full: os.stat(full)}).get(full)
    if known is not None:
        yield targets.has(known.value)
    for name in HASH_NAMES:
        if known is None or known.hash_name != name:
            yield targets.has(dvc.hash_file(full, name))


def find_undo_records(dvc: DvcProject, targets: Targets) -> list[str]:
    """The undo records that could bring one of the objects back to the workspace."""
    try:
        records = list_records(dvc.tmp_dir)
    except RestoreError:
        return []
    return [
        record.record_id
        for record in records
        if any(obj is not None and targets.has(obj.value) for obj in record.files.values())
    ]
