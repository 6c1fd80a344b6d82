"""Progress, drawn on a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

_PATIENCE = 0.5  # seconds that a phase lasts before it is drawn
_TICK = 0.1  # seconds until it is drawn again


class Bar(Progress):
    """Draws each phase that lasts on a terminal's stderr, until it is over.

    Args:
        what: the first phase, of which nothing more is heard.
    """

    def __init__(self, what: str = "Asking MLflow") -> None:
        self._first = what
        self._phase: _Phase | None = None

    def __enter__(self) -> Progress:
        if not sys.stderr.isatty() or _console().is_dumb_terminal:
            return Progress()
        self.begin(self._first, 0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._phase is not None:
            self._phase.end()

    def begin(self, what: str, files: int) -> None:
        """A new phase."""
        if self._phase is not None:
            self._phase.end()
        self._phase = _Phase(what, files)

    def advance(self, files: int = 0, size: int = 0) -> None:
        """So many more files and bytes."""
        if self._phase is not None:
            self._phase.advance(files, size)


class _Phase:
    """A phase of the work, drawn by a thread of its own: nothing may be heard of it for long."""

    def __init__(self, what: str, files: int) -> None:
        self._files = files
        self._done = 0
        self._bytes = 0
        self._began = time.monotonic()
        self._lock = Lock()  # several threads may report
        self._over = Event()
        self._bars = _bars(with_end=files > 1)
        self._task = self._bars.add_task(what, total=files or None, told="")
        self._thread = Thread(target=self._draw, daemon=True)
        self._thread.start()

    def advance(self, files: int, size: int) -> None:
        with self._lock:
            self._done += files
            self._bytes += size

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _draw(self) -> None:
        if self._over.wait(_PATIENCE):
            return
        with suppress(OSError), self._bars:  # the terminal may be gone
            while True:
                done, told = self._done, self._told()
                self._bars.update(self._task, completed=done, told=told, refresh=True)
                if self._over.wait(_TICK):
                    return

    def _told(self) -> str:
        if not self._files:  # what is counted is what the phase's name says
            return f"{self._done:,}" if self._done else ""
        told = f"{self._done:,} of {output.count(self._files, 'file')}"
        if self._bytes:
            speed = self._bytes / (time.monotonic() - self._began)
            told += f", {output.size(self._bytes)}, {output.size(int(speed))}/s"
        return told


def _bars(with_end: bool) -> Bars:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        *([BarColumn()] if with_end else []),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        console=_console(),
        auto_refresh=False,
        transient=True,
    )


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
