"""Progress, drawn on a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.cli.output import format_count, format_size
from mlflow_dvc_plugin.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

_DELAY = 0.5  # seconds until a phase is drawn
_INTERVAL = 0.1  # seconds until it is drawn again


class ProgressBar(Progress):
    """Draws progress on a terminal's stderr, for each phase that takes a while."""

    def __init__(self, phase: str = "Asking MLflow") -> None:
        self._first_phase = phase
        self._phase: _Phase | None = None

    def __enter__(self) -> Progress:
        if not sys.stderr.isatty() or _create_console().is_dumb_terminal:
            return Progress()
        self.begin(self._first_phase, 0)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the phase, so that others can use the terminal."""
        if self._phase is not None:
            self._phase.end()
            self._phase = None

    def begin(self, what: str, files: int) -> None:
        """Start a phase."""
        self.end()
        self._phase = _Phase(what, files)

    def advance(self, files: int = 0, size: int = 0) -> None:
        """Add files and bytes that are done."""
        if self._phase is not None:
            self._phase.advance(files, size)


class _Phase:
    """A phase, drawn by a thread of its own because it may report nothing for long."""

    def __init__(self, what: str, files: int) -> None:
        self._files = files
        self._done = 0
        self._bytes = 0
        self._start_time = time.monotonic()
        self._lock = Lock()  # several threads may report
        self._ended = Event()
        self._bars = _create_bars(with_end=files > 1)
        self._task = self._bars.add_task(what, total=files or None, amount="")
        self._thread = Thread(target=self._draw, daemon=True)
        self._thread.start()

    def advance(self, files: int, size: int) -> None:
        with self._lock:
            self._done += files
            self._bytes += size

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _draw(self) -> None:
        if self._ended.wait(_DELAY):
            return
        with suppress(OSError), self._bars:  # the terminal may be gone
            while True:
                done, amount = self._done, self._describe_amount()
                self._bars.update(self._task, completed=done, amount=amount, refresh=True)
                if self._ended.wait(_INTERVAL):
                    return

    def _describe_amount(self) -> str:
        if not self._files:  # the name of the phase says what is counted
            return f"{self._done:,}" if self._done else ""
        amount = f"{self._done:,} of {format_count(self._files, 'file')}"
        if self._bytes:
            speed = self._bytes / (time.monotonic() - self._start_time)
            amount += f", {format_size(self._bytes)}, {format_size(int(speed))}/s"
        return amount


def _create_bars(with_end: bool) -> Bars:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        *([BarColumn()] if with_end else []),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
        console=_create_console(),
        auto_refresh=False,
        transient=True,
    )


def _create_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
