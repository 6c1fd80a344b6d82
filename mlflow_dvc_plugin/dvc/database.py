"""DVC's state database: it has the hashes of local files, so that they need not be read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

from dvc.exceptions import DvcException
from dvc_data.hashfile.hash_info import HashInfo
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.state.hash_record import compute_checksum, has_hash, parse_record
from mlflow_dvc_plugin.state.objects import Obj

_BATCH = 5000  # files
_SAME_MOMENT = 0.02  # seconds from writing a file to renaming it into place


class Database:
    """DVC's state database of a project, as DVC opened it."""

    def __init__(self, repo: Any) -> None:
        self._repo = repo

    def find_hashes(
        self,
        infos: Mapping[str, os.stat_result],
        expected: Mapping[str, Obj] = MappingProxyType({}),
        writable: bool = True,
    ) -> dict[str, Obj]:
        """Find the hashes of local files, by absolute path, in the database.

        A record is identified by inode, size and modification time. A program
        can set the modification time back, but not the time of the inode's
        change: if that is later, the record is not trusted. Cache objects are
        not `writable`: their inodes change when they are protected or linked.
        To confirm what files are `expected` to hold is faster.
        """
        candidates = [
            path
            for path, info in infos.items()
            if not writable or info.st_ctime - info.st_mtime < _SAME_MOMENT
        ]
        found = {}
        for path, record in self._repo.state.hashes.get_many(candidates):
            if not record:
                continue
            digest, obj = compute_checksum(infos[path]), expected.get(path)
            if obj is not None and obj.hash_name == "md5" and has_hash(record, digest, obj.value):
                found[path] = obj
            elif known := parse_record(record, digest):
                found[path] = Obj(*known)
        return found

    def save_hashes(self, files: Mapping[str, tuple[Obj, os.stat_result]]) -> None:
        """Save what local files hold, by absolute path, with their stat at that time."""
        if not files:
            return
        items = [
            (
                path,
                HashInfo(obj.hash_name, obj.value),
                {"ino": info.st_ino, "mtime": info.st_mtime, "size": info.st_size},
            )
            for path, (obj, info) in files.items()
        ]
        with contextlib.suppress(DvcException, OSError):
            self._repo.state.save_many(items, localfs)

    def save_link(self, path: str, times: Iterable[tuple[str, float]]) -> None:
        """Allow DVC to delete an absolute path when nothing tracks it any more.

        DVC does so only if the path has not changed by then. So the record must
        say what was scanned or written, and not what others write now: for a
        folder, the POSIX path of each file in it and the time when it was
        modified, in seconds since the epoch, in order.
        """
        state = self._repo.state
        with contextlib.suppress(DvcException, OSError):
            if os.path.isdir(path):
                state.set_link(path, os.lstat(path).st_ino, _digest_times(path, times))
            else:
                state.save_link(path, localfs)


def _digest_times(folder: str, times: Iterable[tuple[str, float]]) -> str:
    """Make the digest of the times of a folder's files, as DVC does."""
    digest, rest, comma = hashlib.md5(b"{", usedforsecurity=False), iter(times), ""
    # In batches: the text of a million files takes much memory.
    while batch := list(islice(rest, _BATCH)):
        text = json.dumps({f"{folder}{os.sep}{name}": mtime for name, mtime in batch})
        digest.update(f"{comma}{text[1:-1]}".encode())
        comma = ", "
    digest.update(b"}")
    return digest.hexdigest()
