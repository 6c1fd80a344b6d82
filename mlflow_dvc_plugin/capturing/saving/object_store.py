"""Writing objects into the project's cache, as DVC itself stores them.

A file's bytes are hashed as they are read, written under another name, and renamed
into place when they are complete. So whenever this process is killed, no object has
other bytes than its name says. No lock is needed: who comes later finds the object.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import md5

from mlflow_dvc_plugin.capturing.saving.limits import Limits
from mlflow_dvc_plugin.capturing.workspace.hashing import hash_file
from mlflow_dvc_plugin.file_copy import copy, delete_abandoned
from mlflow_dvc_plugin.system_calls import BINARY, count_blocks, reflink

STAGING = "mlflow-dvc"  # a folder in the cache, in which objects are written
_READ_ONLY = 0o444
_SHARED_FOLDER = 0o2775  # with `cache.shared group`, as DVC makes it
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
# A small file is read at once, and its object written only if the cache lacks it (bytes).
SMALL = 1 << 20
_CHUNK = 1 << 20


class ObjectStore:
    """The cache folder, open for writing; to be closed afterwards."""

    def __init__(
        self, folder: str, limits: Limits, *, shared: bool, report: Callable[[int], None]
    ) -> None:
        self._folder = folder
        self._objects = os.path.join(folder, "files", "md5")
        self._limits = limits
        self._shared = shared
        self._report = report
        self._staging = os.path.join(folder, STAGING, uuid.uuid4().hex)
        self._numbers = itertools.count()
        self._folders: set[str] = set()
        self._unlinkable: set[int] = set()  # devices from which the disk cannot reflink
        self._present: set[str] = set()  # what was just saved

    def has(self, value: str, size: int | None = None) -> bool:
        """Does the cache have an object, of this size and with the right bytes?

        As DVC does, trust an object that is read-only, and read one that is not.
        """
        if value in self._present:
            return True
        path = f"{self._objects}{os.sep}{value[:2]}{os.sep}{value[2:]}"
        try:
            info = os.stat(path)
        except OSError:
            return False
        if not stat.S_ISREG(info.st_mode) or size not in (None, info.st_size):
            return False
        if not info.st_mode & _WRITABLE:
            return True
        return hash_file(path, info, "md5", float("inf")) == value.removesuffix(".dir")

    def save_file(self, path: str, info: os.stat_result) -> str:
        """Save the present bytes of a file, whose stat is `info`, and return their MD5.

        Raises a NotSavedError if they are too many, and an OSError.
        """
        value = self._save_reflink(path, info)
        if value is None:
            value = (self._save_small if info.st_size <= SMALL else self._save_large)(path, info)
        return value

    def save_listing(self, data: bytes, value: str) -> None:
        """Save a folder's listing as the object `value`; what it takes does not count as data."""
        self._limits.take(0, len(data))
        self._save_bytes(data, value)

    def _save_bytes(self, data: bytes, value: str) -> None:
        with self._create() as (name, new):
            part = memoryview(data)
            while part:
                part = part[os.write(new, part) :]
            self._move_in(name, value)

    def _save_small(self, path: str, info: os.stat_result) -> str:
        old = os.open(path, os.O_RDONLY | BINARY)
        try:
            data = chunk = os.read(old, info.st_size + 1)
            while chunk and len(data) != info.st_size:
                chunk = os.read(old, _CHUNK)
                data += chunk
        finally:
            os.close(old)
        self._report(len(data))
        value = md5(data, usedforsecurity=False).hexdigest()
        if not self.has(value, len(data)):
            self._limits.take(len(data), len(data))
            self._save_bytes(data, value)
        return value

    def _save_large(self, path: str, info: os.stat_result) -> str:
        self._limits.take(info.st_size, count_blocks(info))
        with self._create() as (name, new):
            value, copied = copy(path, new, self._report)
            if not self.has(value, copied.st_size):
                self._move_in(name, value)
        return value

    def _save_reflink(self, path: str, info: os.stat_result) -> str | None:
        """Save a file by a reflink, whose bytes cannot change; None if the disk has none."""
        if info.st_dev in self._unlinkable or not info.st_size:
            return None
        with self._create() as (name, new), open(path, "rb", buffering=0) as old:
            if not reflink(old.fileno(), new):
                self._unlinkable.add(info.st_dev)
                return None
            digest, size = md5(usedforsecurity=False), 0
            while chunk := os.read(new, _CHUNK):
                digest.update(chunk)
                size += len(chunk)
                self._report(len(chunk))
            value = digest.hexdigest()
            if not self.has(value, size):
                self._limits.take(size, 0)
                self._move_in(name, value)
        return value

    def can_reflink(self, path: str) -> bool:
        """Can a file be saved without taking space?"""
        try:
            with self._create() as (_, new), open(path, "rb") as old:
                return reflink(old.fileno(), new)
        except OSError:
            return False

    @contextmanager
    def _create(self) -> Iterator[tuple[str, int]]:
        """Create a file in the cache; it is removed at the end, unless it was moved in."""
        above = os.path.dirname(self._staging)
        while self._staging not in self._folders:
            self._make_folder(above)
            delete_abandoned(above)
            with suppress(FileNotFoundError):
                self._make_folder(self._staging)
            self._folders.discard(above)  # another process removes it when it is empty
        name = f"{self._staging}{os.sep}{next(self._numbers)}"
        new = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY, _READ_ONLY)
        try:
            yield name, new
        finally:
            os.close(new)
            with suppress(OSError):
                os.unlink(name)

    def _move_in(self, name: str, value: str) -> None:
        with suppress(OSError):  # on some file systems, as for DVC
            os.chmod(name, _READ_ONLY)  # whatever the umask is
        path = f"{self._objects}{os.sep}{value[:2]}{os.sep}{value[2:]}"
        self._make_folder(os.path.dirname(path))
        os.replace(name, path)
        self._present.add(value)

    def _make_folder(self, folder: str) -> None:
        """Make a folder in the cache, with those above it, as DVC makes them."""
        if folder in self._folders:
            return
        if not os.path.isdir(folder):
            if len(folder) > len(self._folder):
                self._make_folder(os.path.dirname(folder))
            else:
                os.makedirs(os.path.dirname(folder), exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(folder)
                if self._shared:
                    with suppress(OSError):
                        os.chmod(folder, _SHARED_FOLDER)
        self._folders.add(folder)

    def close(self) -> None:
        """Delete what was not moved into place."""
        shutil.rmtree(self._staging, ignore_errors=True)
        with suppress(OSError):  # others are still writing
            os.rmdir(os.path.dirname(self._staging))
