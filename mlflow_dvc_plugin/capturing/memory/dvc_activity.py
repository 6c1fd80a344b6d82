"""Waiting for DVC to be done with a metafile: it writes them in place.

On a busy machine half of a file can stand still for longer than anyone would
wait for nothing. Linux tells who holds DVC's lock, so that nobody has to touch
it; elsewhere, what stands still counts as written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from mlflow_dvc_plugin.capturing import files

_SECONDS = 2.0  # that a reading waits at most
_RECENT_NS = 2_000_000_000  # after its last write, a file may still be half


class Writer:
    """DVC, as far as it writes the metafiles of a project while they are read.

    Args:
        project: absolute path of the project.
    """

    def __init__(self, project: str) -> None:
        self._lock = os.path.join(project, ".dvc", "tmp", "lock")
        self._until = time.monotonic() + _SECONDS
        self._seen = False

    @property
    def is_waited_for(self) -> bool:
        """There is time left to wait."""
        return time.monotonic() < self._until

    def is_at_work(self) -> bool:
        """A DVC command is seen to hold the project's lock, as it does whenever it writes."""
        try:
            held = b":%d " % os.stat(self._lock).st_ino
            with open("/proc/locks", "rb") as file:
                found = any(held in line and b"FLOCK" in line for line in file)
        except OSError:
            return False
        self._seen = self._seen or found
        return found

    def wait(self, signatures: Mapping[str, files.Signature | None]) -> None:
        """Wait while metafiles that were just written to may not be whole.

        Args:
            signatures: of the metafiles, by absolute path; nobody waits any
                more once one of them has another.
        """
        if not any(files.is_fresh(found, _RECENT_NS) for found in signatures.values()):
            return
        at_work = self.is_at_work()
        # Only who was seen with the lock is known to be done without it.
        if any(map(files.is_fresh, signatures.values())) and (at_work or not self._seen):
            files.pause()
            at_work = self.is_at_work()
        while (
            at_work
            and self.is_waited_for
            and all(files.signature(path) == found for path, found in signatures.items())
        ):
            files.pause()
            at_work = self.is_at_work()
