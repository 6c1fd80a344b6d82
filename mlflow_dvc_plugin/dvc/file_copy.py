"""Copy files quickly: each is read once, and its MD5 is taken on the way."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

_CHUNK = 64 * 1024  # what a processor keeps close: four times as much takes twice as long
# What a system answers that cannot copy by itself, or not between these two places.
_CANNOT = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
_WAITING = 8  # pieces of work that wait for each thread

_T = TypeVar("_T")
_R = TypeVar("_R")


class _Buffer(threading.local):
    """Memory for the bytes on their way; new memory for each file costs more than reading it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_CHUNK))


_buffer = _Buffer()


def copy(source: str, new: int) -> tuple[str, os.stat_result]:
    """Copy a file's bytes into an empty file.

    Args:
        source: the file.
        new: descriptor of the empty file, open for writing.

    Returns:
        The MD5 of the bytes, and the stat of the new file.

    Raises:
        OSError: the source cannot be read, or the new file not be written.
    """
    view = _buffer.view
    digest = hashlib.md5(usedforsecurity=False)
    old = os.open(source, os.O_RDONLY)
    try:
        while count := os.readv(old, (view,)):
            part = view[:count]
            digest.update(part)
            while part:
                part = part[os.write(new, part) :]
    finally:
        os.close(old)
    return digest.hexdigest(), os.fstat(new)


def clone(source: str, new: int, known: os.stat_result) -> os.stat_result | None:
    """Copy a file whose bytes are known, and so need not be read here.

    Args:
        source: the file.
        new: descriptor of an empty file, open for writing.
        known: the stat that the source had when its bytes were known.

    Returns:
        The stat of the new file; None, and the file is empty again, where the
        source was touched since, or the system cannot copy by itself.

    Raises:
        OSError: the source cannot be read, or the new file not be written.
    """
    if not hasattr(os, "copy_file_range"):
        return None
    old = os.open(source, os.O_RDONLY)
    try:
        if _copied(old, new, known.st_size) and _same(os.fstat(old), known):
            return os.fstat(new)
    finally:
        os.close(old)
    os.ftruncate(new, 0)
    os.lseek(new, 0, os.SEEK_SET)
    return None


@contextmanager
def create_file(path: str) -> Iterator[int]:
    """The descriptor of a new file, open for writing.

    Raises:
        FileExistsError: `path` is there already.
    """
    new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        yield new
    finally:
        os.close(new)


def _copied(old: int, new: int, size: int) -> bool:
    """All bytes of an open file are in a new one."""
    while size > 0:
        try:
            count = os.copy_file_range(old, new, size)
        except OSError as err:
            if err.errno in _CANNOT:
                return False
            raise
        if not count:
            return False
        size -= count
    return True


def _same(info: os.stat_result, known: os.stat_result) -> bool:
    return (info.st_ino, info.st_size, info.st_mtime_ns) == (
        known.st_ino,
        known.st_size,
        known.st_mtime_ns,
    )


def run_in_threads(work: Callable[[_T], _R], pieces: Iterable[_T], threads: int) -> Iterator[_R]:
    """What `work` makes of each piece, in the order in which they are done.

    However many pieces there are, only a few wait at a time. Once one of them
    fails, or nobody asks any more, no further ones are begun.

    Raises:
        Exception: what `work` raised.
    """
    pool = ThreadPoolExecutor(threads)
    waiting: set[Future[_R]] = set()
    try:
        for piece in pieces:
            waiting.add(pool.submit(work, piece))
            if len(waiting) >= _WAITING * threads:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        pool.shutdown(cancel_futures=True)
