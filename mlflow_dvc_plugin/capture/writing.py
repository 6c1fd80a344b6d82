"""Waiting for DVC to be done with a metafile: it writes them in place.

On a busy machine half of a file can stand still for longer than anyone would
wait for nothing. Linux tells who holds DVC's lock, so that nobody has to touch
it; elsewhere, what stands still counts as written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from mlflow_dvc_plugin.capture import files

# How long to wait at most, and how long after its last write a writer is waited for.
SECONDS = 2.0
RECENT_NS = 2_000_000_000


def wait(
    project: str, signatures: Mapping[str, files.Signature | None], until: float, again: bool
) -> None:
    """Wait while metafiles that were just written to may not be whole.

    Args:
        project: absolute path of the project.
        signatures: of its metafiles, by absolute path; nobody waits any more
            once one of them has another.
        until: when to give up, in seconds of ``time.monotonic``.
        again: they changed while they were read before, so a writer is known:
            where DVC is seen to be done, they are whole.
    """
    if not any(files.is_fresh(found, RECENT_NS) for found in signatures.values()):
        return
    at_work = dvc_is_at_work(project)
    if any(map(files.is_fresh, signatures.values())) and not (again and at_work is False):
        files.pause()
        at_work = dvc_is_at_work(project)
    while (
        at_work
        and time.monotonic() < until
        and all(files.signature(path) == found for path, found in signatures.items())
    ):
        files.pause()
        at_work = dvc_is_at_work(project)


def dvc_is_at_work(project: str) -> bool | None:
    """Does a DVC command hold the project's lock, as it does whenever it writes a metafile?

    None where nobody knows.
    """
    try:
        inode = os.stat(os.path.join(project, ".dvc", "tmp", "lock")).st_ino
        with open("/proc/locks", "rb") as file:
            locks = file.read()
    except OSError:
        return None
    held = b":%d " % inode
    return any(held in line and b"FLOCK" in line for line in locks.splitlines())
