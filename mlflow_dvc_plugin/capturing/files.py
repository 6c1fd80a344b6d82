"""Reading a metafile: bounded, never blocked, and not while it is being written."""

from __future__ import annotations

import os
import stat
import time

from mlflow_dvc_plugin.errors import CaptureError

MAX_BYTES = 1 << 28
_REREAD_SECONDS = 0.05
_FRESH_NS = 200_000_000
_NONBLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

# mtime in nanoseconds, size, inode, and ctime, which cannot be set back.
Signature = tuple[int, int, int, int]


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
        pause()
        data, settled = _read_once(path, name)
        if not settled:
            raise CaptureError(name, "it changes while it is read; try again")
    return data


def signature(path: str) -> Signature | None:
    """What changes when a file is written to; None if it is not there."""
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return info.st_mtime_ns, info.st_size, info.st_ino, info.st_ctime_ns


def is_fresh(found: Signature | None, within_ns: int = _FRESH_NS) -> bool:
    """Was a file written to so lately that the writer may not be done?"""
    return found is not None and abs(time.time_ns() - found[0]) < within_ns


def pause() -> None:
    """Let a writer get on."""
    time.sleep(_REREAD_SECONDS)


def reread(path: str, name: str) -> bytes:
    """Read again, a moment later, what could not be understood at first."""
    pause()
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
        # One read gives all of most files, and needs no file object.
        data = chunk = os.read(fd, before.st_size + 1)
        while chunk and len(data) <= before.st_size:
            chunk = os.read(fd, before.st_size + 1 - len(data))
            data += chunk
        after = os.fstat(fd)
    except OSError as err:
        raise CaptureError(name, f"cannot be read: {err.strerror}") from err
    finally:
        os.close(fd)
    return data, before.st_mtime_ns == after.st_mtime_ns and len(data) == after.st_size
