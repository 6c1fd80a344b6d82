"""Reading a file safely: bounded, without blocking, and not while it is written."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import md5

from mlflow_dvc_plugin.errors import CaptureError

MAX_BYTES = 1 << 28
_PAUSE_SECONDS = 0.05
_FRESH_NS = 200_000_000
_NONBLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

# mtime in nanoseconds, size, inode, and ctime, which cannot be set back.
Signature = tuple[int, int, int, int]


def read_file(path: str, name: str) -> bytes:
    """Read all bytes of a file; `name` stands for it in an error message."""
    data, is_whole = _read_once(path, name)
    if not is_whole:
        # A program wrote to it during the read: DVC rewrites dvc.lock in place.
        pause()
        data, is_whole = _read_once(path, name)
        if not is_whole:
            raise CaptureError(name, "the file changes while it is read; try again")
    return data


def find_signature(path: str) -> Signature | None:
    """What changes whenever the file is written; None if there is no file."""
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return info.st_mtime_ns, info.st_size, info.st_ino, info.st_ctime_ns


def is_fresh(signature: Signature | None, within_ns: int = _FRESH_NS) -> bool:
    """Was the file written so recently that more may follow?"""
    return signature is not None and abs(time.time_ns() - signature[0]) < within_ns


def pause() -> None:
    """Give the program that writes a file time to continue."""
    time.sleep(_PAUSE_SECONDS)


def _read_once(path: str, name: str) -> tuple[bytes, bool]:
    """The bytes, and whether the file stayed the same during the read."""
    try:
        # To open a FIFO that nothing writes to would block the training job forever.
        fd = os.open(path, os.O_RDONLY | _NONBLOCK)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise CaptureError(name, "this is not a regular file")
            if before.st_size > MAX_BYTES:
                raise CaptureError(name, f"the file is larger than {MAX_BYTES:,} bytes")
            # One read returns all of most files, and needs no file object.
            data = chunk = os.read(fd, before.st_size + 1)
            while chunk and len(data) <= before.st_size:
                chunk = os.read(fd, before.st_size + 1 - len(data))
                data += chunk
            after = os.fstat(fd)
        finally:
            os.close(fd)
    except OSError as err:
        raise CaptureError(name, f"cannot read the file ({err.strerror})") from err
    return data, before.st_mtime_ns == after.st_mtime_ns and len(data) == after.st_size


def hash_bytes(data: bytes) -> str:
    """MD5 in hex."""
    return md5(data, usedforsecurity=False).hexdigest()


class HashedFiles(Mapping[str, bytes]):
    """The contents of files in a folder, read when they are first needed.

    A file that no longer has its hash by then is left out.
    """

    def __init__(self, folder: str, hashes: Mapping[str, str]) -> None:
        self._folder = folder
        self._hashes = hashes

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        contents = {}
        for path, known in self._hashes.items():
            try:
                data = read_file(os.path.join(self._folder, path), path)
            except CaptureError:
                continue
            if hash_bytes(data) == known:
                contents[path] = data
        return contents

    def __getitem__(self, path: str) -> bytes:
        return self._contents[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)
