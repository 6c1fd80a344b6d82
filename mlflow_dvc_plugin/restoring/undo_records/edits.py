"""Find the edits that an undo would lose."""

from __future__ import annotations

import os
import posixpath

from mlflow_dvc_plugin.errors import GitError
from mlflow_dvc_plugin.git import is_in_commit, resolve_commit
from mlflow_dvc_plugin.restoring.files.contents import read_file
from mlflow_dvc_plugin.restoring.undo_records.record import UndoRecord, to_digest


def find_edits(project: str, record: UndoRecord) -> list[str]:
    """Find files that users write, and edited after the restore, and did not commit."""
    found = []
    for path, old in record.metafiles.items():
        if path.endswith(".dvc") or posixpath.basename(path) == "dvc.lock":
            continue
        data = read_file(os.path.join(project, path))
        was_restored = to_digest(data) == record.written.get(path)
        if data not in (None, old) and not was_restored and not _is_in_head(project, path, data):
            found.append(path)
    return sorted(found)


def _is_in_head(project: str, path: str, data: bytes | None) -> bool:
    try:
        return data is not None and is_in_commit(
            project, resolve_commit(project, "HEAD"), path, data
        )
    except GitError:
        return False
