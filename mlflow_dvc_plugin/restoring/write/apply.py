"""Change the workspace: each file is there whole, the old one or the new one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.dvc.file_copy import run_in_threads
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.files import stamps as meanwhile
from mlflow_dvc_plugin.restoring.plan.comparison import Change
from mlflow_dvc_plugin.restoring.run_data.files import Wanted
from mlflow_dvc_plugin.restoring.write.placer import Placer
from mlflow_dvc_plugin.state.objects import Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

_LARGE = 4 * 1024 * 1024  # bytes
_SHARE = 100  # files
_TOLD_AT_ONCE = 5000  # files
_THREADS = 2  # one for a large file, one for the small ones; more wait for each other


def apply(
    project: DvcProject,
    root: str,
    changes: Sequence[Change],
    wanted: Wanted,
    *,
    link_types: Sequence[str],
    progress: Progress,
) -> int:
    """Make the changes; killed at any instant, a second call completes them.

    Args:
        project: the open project; its cache holds every new object.
        root: absolute path that the changes' paths are relative to.
        changes: what has to change.
        wanted: the outs that the changes belong to.
        link_types: kinds of links that work, the preferred one first.
        progress: hears of files and bytes.

    Returns:
        Bytes written.

    Raises:
        RestoreError: an object in the cache has other bytes than its name says, or
            another program wrote to a file that is to be replaced.
        OSError: the disk is full, or a folder cannot be written to.
    """
    for change in changes:
        if change.new is None:
            target = os.path.join(root, change.path)
            meanwhile.check(target, change.seen)
            _remove(target)
    keep = {os.path.join(root, folder) for folder in (*wanted.folders, *wanted.kept)}
    _remove_empty(root, [c.path for c in changes if c.new is None], keep)
    writes = {os.path.join(root, c.path): c.new for c in changes if c.new is not None}
    seen = {os.path.join(root, c.path): c.seen for c in changes if c.seen is not None}
    for folder in keep | {os.path.dirname(target) for target in writes}:
        os.makedirs(folder, exist_ok=True)
    place = Placer(project, link_types)
    total = 0

    def put(targets: Sequence[str]) -> dict[str, tuple[Obj, os.stat_result]]:
        return {t: (writes[t], place(writes[t], t, seen.get(t))) for t in targets}

    untold: dict[str, tuple[Obj, os.stat_result]] = {}
    try:
        for written in run_in_threads(put, _shares(project, writes), _THREADS):
            size = sum(info.st_size for _, info in written.values())
            total += size
            progress.advance(files=len(written), size=size)
            untold.update(written)
            if len(untold) >= _TOLD_AT_ONCE:
                project.database.save_hashes(untold)
                untold.clear()
    finally:
        project.database.save_hashes(untold)
    return total


def _shares(project: DvcProject, writes: Mapping[str, Obj]) -> Iterator[list[str]]:
    """The files to write as shares of work: large files alone and first, small ones together."""
    small = []
    for target, obj in writes.items():
        known = project.cache.verified_stat(obj)
        if known and known.st_size > _LARGE:
            yield [target]
        else:
            small.append(target)
    for start in range(0, len(small), _SHARE):
        yield small[start : start + _SHARE]


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _remove_empty(root: str, deleted: Sequence[str], keep: set[str]) -> None:
    """Remove the folders that the deletion of files left empty."""
    for path in sorted(deleted, reverse=True):
        folder = os.path.dirname(os.path.join(root, path))
        while folder not in keep and len(folder) > len(root):
            try:
                os.rmdir(folder)
            except OSError:
                break
            folder = os.path.dirname(folder)
