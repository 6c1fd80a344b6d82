"""DVC's state database: the hashes of local files, so that they need not be read again."""

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
    """What DVC remembers of local files.

    Args:
        repo: the project, as DVC opened it.
    """

    def __init__(self, repo: Any) -> None:
        self._repo = repo

    def find_hashes(
        self,
        infos: Mapping[str, os.stat_result],
        expected: Mapping[str, Obj] = MappingProxyType({}),
        writable: bool = True,
    ) -> dict[str, Obj]:
        """Hashes of local files that DVC's state database vouches for.

        It does so by inode, size and modification time. A program can set the
        latter back, but not the time of the inode's change: where that is
        later, the record is not believed.

        Args:
            infos: the stat of each file, by absolute path.
            expected: what files should hold, which is quicker to confirm than to read.
            writable: people may have edited them; False for cache objects,
                whose inodes change whenever they are protected or linked.
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
            digest, aim = compute_checksum(infos[path]), expected.get(path)
            if aim is not None and aim.hash_name == "md5" and has_hash(record, digest, aim.value):
                found[path] = aim
            elif known := parse_record(record, digest):
                found[path] = Obj(*known)
        return found

    def save_hashes(self, files: Mapping[str, tuple[Obj, os.stat_result]]) -> None:
        """Tell DVC what local files hold, by absolute path, and their stat when they held it."""
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
        """Tell DVC that it may clean up this path when nothing tracks it any more.

        Unless the path has changed by then: what the record says of it is to be
        what was seen, or written, and not what someone may write meanwhile.

        Args:
            path: absolute.
            times: the files in it, if it is a folder, as POSIX paths relative to
                it, with the time when each was modified, in seconds since the
                epoch; in the order of the paths.
        """
        state = self._repo.state
        with contextlib.suppress(DvcException, OSError):
            if os.path.isdir(path):
                state.set_link(path, os.lstat(path).st_ino, _digest_times(path, times))
            else:
                state.save_link(path, localfs)


def _digest_times(folder: str, times: Iterable[tuple[str, float]]) -> str:
    """A digest of the times of a folder's files, as DVC takes it."""
    digest, rest, comma = hashlib.md5(b"{", usedforsecurity=False), iter(times), ""
    # In pieces: the text of a million files takes much memory.
    while batch := list(islice(rest, _BATCH)):
        text = json.dumps({f"{folder}{os.sep}{name}": mtime for name, mtime in batch})
        digest.update(f"{comma}{text[1:-1]}".encode())
        comma = ", "
    digest.update(b"}")
    return digest.hexdigest()
