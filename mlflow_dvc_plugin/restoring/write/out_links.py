"""Tell DVC which outs a restore wrote: it may delete them when nothing tracks them any more.

DVC calls such a record a link, whatever the link type is.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject


def save_out_links(
    project: DvcProject,
    outs: Sequence[str],
    times: Mapping[str, float],
    written: Iterable[str],
) -> None:
    """Tell DVC that outs are its own, unless users change them first.

    `times` tells when each file in outs that are folders was modified before
    anything was written, and `written` which files were written or deleted since.
    """
    if not outs:
        return
    times = {**times}
    for path in written:
        times.pop(path, None)
        with suppress(OSError):
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
