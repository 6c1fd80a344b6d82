"""Waiting until DVC has finished writing the metafiles, which it writes in place.

On a busy machine, a file that is half written can stay so for longer than capture
would wait without a reason. On Linux, the system tells which process holds DVC's
lock, and capture need not touch the lock. Elsewhere, a file that does not change
counts as written.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlflow_dvc_plugin.capturing.files import Signature, find_signature, is_fresh, pause

_MAX_SECONDS = 2.0  # that one reading waits
_RECENT_NS = 2_000_000_000  # after its last write, a file may still be incomplete


_own_locks = threading.local()


@contextmanager
def own_lock(project: str) -> Iterator[None]:
    """Let this thread's readings not wait for DVC's lock, because the thread holds it itself."""
    before: frozenset[int | None] = getattr(_own_locks, "inodes", frozenset())
    _own_locks.inodes = before | {_find_inode(_lock_file(project))}
    try:
        yield
    finally:
        _own_locks.inodes = before


def _lock_file(project: str) -> str:
    return os.path.join(project, ".dvc", "tmp", "lock")


def _find_inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


class DvcWriter:
    """A DVC command that may be writing the metafiles of a project while they are read."""

    def __init__(self, project: str) -> None:
        self._lock = _lock_file(project)
        self._deadline = time.monotonic() + _MAX_SECONDS
        self._was_seen = False

    def has_time_left(self) -> bool:
        """May the reading still wait for DVC?"""
        return time.monotonic() < self._deadline

    def is_seen(self) -> bool:
        """Does a DVC command hold the project's lock, as it does whenever it writes?"""
        inode = _find_inode(self._lock)
        if inode is None or inode in getattr(_own_locks, "inodes", ()):
            return False
        from mlflow_dvc_plugin.system_calls import is_locked

        is_held = is_locked(inode)
        self._was_seen = self._was_seen or is_held
        return is_held

    def wait(self, signatures: Mapping[str, Signature | None]) -> None:
        """Wait until metafiles that were written just now are complete, or one of them changes."""
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
