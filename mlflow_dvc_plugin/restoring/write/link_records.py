"""Outs that a restore brought back are DVC's to clean up, once nothing tracks them any more."""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject


def claim(
    project: DvcProject, outs: Sequence[str], seen: Mapping[str, float], written: Iterable[str]
) -> None:
    """Tell DVC that the outs are its own, unless people change them first.

    Args:
        project: the open project.
        outs: their paths.
        seen: when the files in outs that are folders were modified, in seconds
            since the epoch, by path, before anything was written.
        written: paths of the files that were written or removed since.
    """
    if not outs:
        return
    times = {**seen}
    for path in written:
        mtime = _mtime(os.path.join(project.root, path))
        if mtime is None:
            times.pop(path, None)
        else:
            times[path] = mtime
    names = sorted(times)
    for out in outs:
        inside = names[bisect_left(names, f"{out}/") : bisect_left(names, f"{out}0")]
        start = len(out) + 1
        project.database.save_link(
            os.path.join(project.root, out), ((name[start:], times[name]) for name in inside)
        )


def _mtime(path: str) -> float | None:
    """Of a file, or of the one that a link leads to."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_mtime if stat.S_ISREG(info.st_mode) else None
