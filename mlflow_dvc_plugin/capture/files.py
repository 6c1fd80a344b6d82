"""Reading a metafile: bounded, never blocked, and not while it is being written."""

from __future__ import annotations

import os
import stat
import time

from mlflow_dvc_plugin.errors import CaptureError

MAX_BYTES = 1 << 28
_REREAD_SECONDS = 0.05
_NONBLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def read(path: str, name: str) -> bytes:
    """The bytes of a metafile.

    Args:
        path: where it is.
        name: what to call it in an error.

    Raises:
        CaptureError: it is no regular file, or cannot be read.
    """
    data, settled = _read_once(path, name)
    if not settled:
        # Somebody wrote to it meanwhile: DVC rewrites dvc.lock in place.
        time.sleep(_REREAD_SECONDS)
        data, settled = _read_once(path, name)
        if not settled:
            raise CaptureError(name, "it changes while it is read; try again")
    return data


def reread(path: str, name: str) -> bytes:
    """Read again, a moment later, what could not be understood at first."""
    time.sleep(_REREAD_SECONDS)
    return read(path, name)


def _read_once(path: str, name: str) -> tuple[bytes, bool]:
    try:
        # A FIFO without a writer would block the training job for ever.
        fd = os.open(path, os.O_RDONLY | _NONBLOCK)
    except OSError as err:
        raise CaptureError(name, f"cannot be read: {err.strerror}") from err
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise CaptureError(name, "is no regular file")
        if before.st_size > MAX_BYTES:
            raise CaptureError(name, f"is larger than {MAX_BYTES} bytes")
        with os.fdopen(os.dup(fd), "rb") as file:
            data = file.read(MAX_BYTES + 1)
        after = os.fstat(fd)
    except OSError as err:
        raise CaptureError(name, f"cannot be read: {err.strerror}") from err
    finally:
        os.close(fd)
    return data, before.st_mtime_ns == after.st_mtime_ns and len(data) == after.st_size
