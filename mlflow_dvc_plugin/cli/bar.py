"""A progress bar."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_PATIENCE = 0.5  # seconds before a bar is drawn


class Bar(Progress):
    """Draws progress on a terminal's stderr, once work has lasted half a second."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._what = ""
        self._files = 0
        self._done = 0
        self._bytes = 0
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        return self if sys.stderr.isatty() else Progress()

    def __exit__(self, *_: object) -> None:
        self._close()

    def begin(self, what: str, files: int, size: int | None = None) -> None:  # noqa: ARG002
        """A new phase."""
        self._close()
        self._what, self._files, self._done, self._bytes = what, files, 0, 0
        self._began = time.monotonic()

    def advance(self, files: int = 0, size: int = 0) -> None:
        """So many more files and bytes."""
        self._done += files
        self._bytes += size
        if self._bars is None and time.monotonic() - self._began > _PATIENCE:
            self._bars = self._drawn()
            self._task = self._bars.add_task(self._what, total=self._files or None)
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self._done)

    def _drawn(self) -> Bars:
        # Not before: to load this takes longer than many a command does.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TransferSpeedColumn,
        )

        of_files = [TextColumn("files"), DownloadColumn(), TransferSpeedColumn()]
        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            *(of_files if self._files else []),
            console=Console(stderr=True),
            transient=True,
        )
        bars.start()
        return bars

    def _close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = self._task = None
