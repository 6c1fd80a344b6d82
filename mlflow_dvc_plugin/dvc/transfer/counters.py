"""What is told of the bytes of files while they are transferred."""

from __future__ import annotations

import hashlib
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fsspec.callbacks import Callback

from mlflow_dvc_plugin.progress import Progress

_CHUNK = 1024 * 1024  # bytes


class ByteCounter(Callback):  # type: ignore[misc]
    """Counts the bytes of all files of a transfer."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def branched(self, *_: Any, **__: Any) -> FileCounter:
        """Make a counter for one of the files."""
        return FileCounter(self._progress)


class FileCounter(Callback):  # type: ignore[misc]
    """Counts the bytes of a file."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def relative_update(self, inc: int = 1) -> None:
        """Count more bytes."""
        self._progress.advance(size=inc)
        super().relative_update(inc)

    def absolute_update(self, value: int) -> None:
        """Count the bytes up to a number."""
        self._progress.advance(size=value - self.value)
        super().absolute_update(value)


class FileHasher(FileCounter):
    """Computes the MD5 of a file while it is being written.

    It reads as many bytes as it is told were written. If they were not written in order,
    the result is another one.
    """

    def __init__(self, path: str, progress: Progress) -> None:
        super().__init__(progress)
        self._path = path
        self._file: io.FileIO | None = None
        self._digest = hashlib.md5(usedforsecurity=False)
        self._thread = ThreadPoolExecutor(1)

    def relative_update(self, inc: int = 1) -> None:
        """Count more bytes."""
        super().relative_update(inc)
        self._thread.submit(self._read, inc)

    def absolute_update(self, value: int) -> None:
        """Count the bytes up to a number."""
        inc = value - self.value
        super().absolute_update(value)
        self._thread.submit(self._read, inc)

    def finish(self) -> str:
        """Read what is left; return the MD5 of all that was read."""
        self._thread.submit(self._read, sys.maxsize)
        self._thread.shutdown()
        if self._file is not None:
            self._file.close()
        return self._digest.hexdigest()

    def _read(self, size: int) -> None:
        if self._file is None:
            self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115 - closed at the end
        while size > 0 and (data := self._file.read(min(size, _CHUNK))):
            self._digest.update(data)
            size -= len(data)
