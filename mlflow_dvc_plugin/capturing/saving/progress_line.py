"""The one line that saving writes on a terminal, if it takes more than a second."""

from __future__ import annotations

import sys
import threading
import time

from mlflow_dvc_plugin.capturing.saving.limits import format_size

_DELAY = 1.0  # seconds
_INTERVAL = 0.2


class ProgressLine:
    """Tells people at a terminal why their run does not start yet."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _DELAY
        self._what = ""
        self._done = self._total = 0
        self._is_drawn = False
        self._lock = threading.Lock()

    def begin(self, what: str, total: int) -> None:
        """Begin with data of so many bytes."""
        self._what, self._done, self._total = what, 0, total

    def advance(self, size: int) -> None:
        """Count bytes that were read or saved."""
        with self._lock:
            self._done += size
            now = time.monotonic()
            if now >= self._next:
                self._next = now + _INTERVAL
                done, total = format_size(min(self._done, self._total)), format_size(self._total)
                self._write(
                    f"\rmlflow-dvc saves {self._what} for this run: {done} of {total}\x1b[K"
                )

    def close(self) -> None:
        """Remove the line."""
        if self._is_drawn:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        try:
            if sys.stderr.isatty():
                sys.stderr.write(text)
                sys.stderr.flush()
                self._is_drawn = True
        except (AttributeError, OSError, ValueError):  # there is no stderr any more
            pass
