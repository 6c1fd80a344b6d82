"""Write the changes of a plan: each path always holds the old file or the new one, complete."""

from __future__ import annotations

import contextlib
import os
import stat
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.file_copy import run_in_threads
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.files.stamps import check_stamp
from mlflow_dvc_plugin.restoring.files.symlinks import is_symlink
from mlflow_dvc_plugin.restoring.files.temporary import make_temporary
from mlflow_dvc_plugin.restoring.plan.scan import Change
from mlflow_dvc_plugin.restoring.write.placer import Placer
from mlflow_dvc_plugin.state.objects import Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

_LARGE = 4 * 1024 * 1024  # bytes
_SHARE = 100  # files
_UNSAVED = 5000  # files
_THREADS = 2  # one for a large file, one for the small ones; more wait for each other


def write_changes(
    project: DvcProject,
    root: str,
    changes: Sequence[Change],
    *,
    folders: Collection[str],
    link_types: Sequence[str],
    progress: Progress,
) -> int:
    """Write changes, and return the number of bytes; a second call completes a killed one.

    The paths are relative to `root`, which exists. `folders` must exist at the
    end, even if they are empty.
    """
    keep = {os.path.join(root, folder) for folder in folders}
    _delete_files(root, [c for c in changes if c.new is None], keep)
    links = [change for change in changes if is_symlink(change.new)]
    files = {
        os.path.join(root, c.path): (c.new, c.stamp)
        for c in changes
        if c.new is not None and not is_symlink(c.new)
    }
    for folder in keep | {os.path.dirname(target) for target in files}:
        os.makedirs(folder, exist_ok=True)
    size = _write_files(project, files, Placer(project, link_types), progress)
    _write_symlinks(root, links)
    return size


def _delete_files(root: str, changes: Sequence[Change], keep: Collection[str]) -> None:
    """Delete files, and then the folders that this left empty."""
    for change in changes:
        target = os.path.join(root, change.path)
        check_stamp(target, change.stamp)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
    for change in reversed(changes):
        folder = os.path.dirname(os.path.join(root, change.path))
        while folder not in keep and len(folder) > len(root):
            try:
                os.rmdir(folder)
            except OSError:
                break
            folder = os.path.dirname(folder)


def _write_files(
    project: DvcProject,
    files: Mapping[str, tuple[Obj, int | None]],
    placer: Placer,
    progress: Progress,
) -> int:
    """Put objects in their places, given by absolute path, each with the stamp of the old file."""
    total = 0

    def place(targets: Sequence[str]) -> dict[str, tuple[Obj, os.stat_result]]:
        return {t: (files[t][0], placer.place(files[t][0], t, files[t][1])) for t in targets}

    unsaved: dict[str, tuple[Obj, os.stat_result]] = {}
    try:
        for placed in run_in_threads(place, _divide(project, files), _THREADS):
            size = sum(info.st_size for _, info in placed.values())
            total += size
            progress.advance(files=len(placed), size=size)
            unsaved.update(placed)
            if len(unsaved) >= _UNSAVED:
                project.database.save_hashes(unsaved)
                unsaved.clear()
    finally:
        project.database.save_hashes(unsaved)
    return total


def _divide(
    project: DvcProject, files: Mapping[str, tuple[Obj, int | None]]
) -> Iterator[list[str]]:
    """Divide files into shares of work: large ones alone and first, small ones together."""
    small = []
    for target, (obj, _) in files.items():
        info = project.cache.verified_stat(obj)
        if info and info.st_size > _LARGE:
            yield [target]
        else:
            small.append(target)
    for start in range(0, len(small), _SHARE):
        yield small[start : start + _SHARE]


def _write_symlinks(root: str, changes: Sequence[Change]) -> None:
    for change in changes:
        assert change.new is not None
        target = os.path.join(root, change.path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with make_temporary(target) as link:
            os.symlink(change.new.value, link)
            check_stamp(target, change.stamp)
            os.replace(link, target)


def save_out_links(
    project: DvcProject, outs: Sequence[str], times: Mapping[str, float], written: Iterable[str]
) -> None:
    """Tell DVC that outs are its own, which it may delete unless users change them first.

    DVC calls such a record a link, whatever the link type is. `times` tells when
    each file in outs that are folders was modified before anything was written, and
    `written` which files were written or deleted since.
    """
    if not outs:
        return
    times = {**times}
    for path in written:
        times.pop(path, None)
        with contextlib.suppress(OSError):
            info = os.stat(os.path.join(project.root, path))
            if stat.S_ISREG(info.st_mode):
                times[path] = info.st_mtime
    names = sorted(times)
    for out in outs:
        inside = names[bisect_left(names, f"{out}/") : bisect_left(names, f"{out}0")]
        start = len(out) + 1
        project.database.save_link(
            os.path.join(project.root, out), ((name[start:], times[name]) for name in inside)
        )
