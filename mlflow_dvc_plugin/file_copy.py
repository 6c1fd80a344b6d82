"""Copy files quickly: each is read once, and its MD5 is computed on the way."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import TypeVar

from mlflow_dvc_plugin.system_calls import BINARY, copy_range, count_blocks, read_into

_CHUNK = 64 * 1024  # fits a processor's cache: four times as much takes twice as long
_ZEROS = bytes(_CHUNK)
_ABANDONED_SECONDS = 24 * 3600
_QUEUE = 8  # pieces of work that wait for each thread

_T = TypeVar("_T")
_R = TypeVar("_R")


class _Buffer(threading.local):
    """Memory that each thread uses again: new memory for each file costs more than reading it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_CHUNK))


_buffer = _Buffer()


def copy(
    source: str, new: int, report: Callable[[int], None] | None = None
) -> tuple[str, os.stat_result]:
    """Copy a file's bytes into an empty, open file; return their MD5, and the new file's stat.

    Where a file has holes, so does its copy. `report` is told of each part: its bytes.
    """
    view = _buffer.view
    digest = hashlib.md5(usedforsecurity=False)
    old = os.open(source, os.O_RDONLY | BINARY)
    try:
        before = os.fstat(old)
        is_sparse = count_blocks(before) < before.st_size
        while count := read_into(old, view):
            part = view[:count]
            digest.update(part)
            if report is not None:
                report(count)
            if is_sparse and bytes(part) == _ZEROS[:count]:
                os.lseek(new, count, os.SEEK_CUR)
                continue
            while part:
                part = part[os.write(new, part) :]
        if is_sparse:
            os.ftruncate(new, os.lseek(new, 0, os.SEEK_CUR))
    finally:
        os.close(old)
    return digest.hexdigest(), os.fstat(new)


def clone(source: str, new: int, known: os.stat_result) -> os.stat_result | None:
    """Have the system copy a file, whose stat was `known` when its bytes were verified.

    Returns the stat of the new file. None, and the file is empty again, if the
    source was written to since, or the system cannot copy by itself.
    """
    old = os.open(source, os.O_RDONLY | BINARY)
    try:
        if copy_range(old, new, known.st_size) and _to_key(os.fstat(old)) == _to_key(known):
            return os.fstat(new)
    finally:
        os.close(old)
    os.ftruncate(new, 0)
    os.lseek(new, 0, os.SEEK_SET)
    return None


@contextmanager
def create_file(path: str) -> Iterator[int]:
    """Create a file that does not exist yet, and give its descriptor, open for writing."""
    new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
    try:
        yield new
    finally:
        os.close(new)


def delete_abandoned(folder: str) -> None:
    """Delete what killed processes left in a folder for temporary files more than a day ago."""
    with suppress(OSError):
        for item in list(os.scandir(folder)):
            if time.time() - item.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(item.path, ignore_errors=True)


def _to_key(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_ino, info.st_size, info.st_mtime_ns


def run_in_threads(work: Callable[[_T], _R], pieces: Iterable[_T], threads: int) -> Iterator[_R]:
    """Give the results of `work` for each piece, in the order in which they are done.

    However many pieces there are, only a few are queued at a time. When one
    fails, or the caller stops early, no further ones are started.
    """
    pool = ThreadPoolExecutor(threads)
    queued: set[Future[_R]] = set()
    try:
        for piece in pieces:
            queued.add(pool.submit(work, piece))
            if len(queued) >= _QUEUE * threads:
                done, queued = wait(queued, return_when=FIRST_COMPLETED)
                yield from (task.result() for task in done)
        while queued:
            done, queued = wait(queued, return_when=FIRST_COMPLETED)
            yield from (task.result() for task in done)
    finally:
        pool.shutdown(cancel_futures=True)
