"""What limits saving: MLFLOW_DVC_SAVE_MAX, and the free space of the cache's disk."""

from __future__ import annotations

import os
import shutil
import threading

_MARGIN = 1 << 30  # bytes of the disk that stay free; at most a twentieth of it
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


class NotSavedError(Exception):
    """Some data is not saved; the message says why, and follows the path and a colon."""


class Limits:
    """How many bytes may still be saved when this run starts."""

    def __init__(self, most: int | None, folder: str) -> None:
        self._most = most
        self._left = most
        self._free = _find_free(folder)
        self._lock = threading.Lock()

    def check(self, size: int, on_disk: int) -> None:
        """Raise a NotSavedError if so many bytes, which take `on_disk` bytes, are too many."""
        if self._left is not None and size > self._left:
            raise NotSavedError(
                f"{format_size(size)} would be saved, but MLFLOW_DVC_SAVE_MAX allows "
                f"{format_size(self._most or 0)} for a run"
            )
        if on_disk > self._free:
            raise NotSavedError(
                f"it needs {format_size(on_disk)}, and the disk of the DVC cache has only "
                f"{format_size(max(self._free, 0))} to spare"
            )

    def take(self, size: int, on_disk: int) -> None:
        """Count bytes that are saved now, or raise a NotSavedError."""
        with self._lock:
            self.check(size, on_disk)
            if self._left is not None:
                self._left -= size
            self._free -= on_disk


def format_size(size: int) -> str:
    """A number of bytes as people read it, such as ``1.2 GB``."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{size} bytes"


def _find_free(folder: str) -> int:
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    usage = shutil.disk_usage(folder)
    return usage.free - min(_MARGIN, usage.total // 20)
