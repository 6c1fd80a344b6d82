"""Waiting until DVC has finished writing the metafiles, which it writes in place.

On a busy machine, a file that is half written can stay so for longer than capture
would wait without a reason. On Linux, the system tells which process holds DVC's
lock, and capture need not touch the lock. Elsewhere, a file that does not change
counts as written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from mlflow_dvc_plugin.capturing.files import Signature, find_signature, is_fresh, pause

_MAX_SECONDS = 2.0  # that one reading waits
_RECENT_NS = 2_000_000_000  # after its last write, a file may still be incomplete


class DvcWriter:
    """A DVC command that may be writing the metafiles of a project while they are read.

    Args:
        project: absolute path of the project.
    """

    def __init__(self, project: str) -> None:
        self._lock = os.path.join(project, ".dvc", "tmp", "lock")
        self._deadline = time.monotonic() + _MAX_SECONDS
        self._was_seen = False

    def has_time_left(self) -> bool:
        """May the reading still wait for DVC?"""
        return time.monotonic() < self._deadline

    def is_seen(self) -> bool:
        """Does a DVC command hold the project's lock, as it does whenever it writes?"""
        try:
            inode = b":%d " % os.stat(self._lock).st_ino
            with open("/proc/locks", "rb") as file:
                is_held = any(inode in line and b"FLOCK" in line for line in file)
        except OSError:
            return False
        self._was_seen = self._was_seen or is_held
        return is_held

    def wait(self, signatures: Mapping[str, Signature | None]) -> None:
        """Wait while metafiles that were written just now may be incomplete.

        Args:
            signatures: of the metafiles, by absolute path. The wait ends as soon
                as one of them changes.
        """
        if not any(is_fresh(each, _RECENT_NS) for each in signatures.values()):
            return
        is_seen = self.is_seen()
        # Only a command that was seen with the lock has finished once it is without it.
        if any(map(is_fresh, signatures.values())) and (is_seen or not self._was_seen):
            pause()
            is_seen = self.is_seen()
        while (
            is_seen
            and self.has_time_left()
            and all(find_signature(path) == each for path, each in signatures.items())
        ):
            pause()
            is_seen = self.is_seen()
