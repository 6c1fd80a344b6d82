"""DVC's state database: the hashes of local files, so that they need not be read again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from dvc.exceptions import DvcException
from dvc_data.hashfile.hash_info import HashInfo
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.objects import Obj

_SAME_MOMENT = 0.02  # seconds from writing a file to renaming it into place


class Database:
    """What DVC remembers of local files.

    Args:
        repo: the project, as DVC opened it.
    """

    def __init__(self, repo: Any) -> None:
        self._repo = repo

    def hashes(self, infos: Mapping[str, os.stat_result], writable: bool = True) -> dict[str, Obj]:
        """Hashes of local files that DVC's state database vouches for.

        It does so by inode, size and modification time. A program can set the
        latter back, but not the time of the inode's change: where that is
        later, the record is not believed.

        Args:
            infos: the stat of each file, by absolute path.
            writable: people may have edited them; False for cache objects,
                whose inodes change whenever they are protected or linked.
        """
        sober = {
            path: {
                "type": "file",
                "size": info.st_size,
                "ino": info.st_ino,
                "mtime": info.st_mtime,
                "mode": info.st_mode,
            }
            for path, info in infos.items()
            if not writable or info.st_ctime - info.st_mtime < _SAME_MOMENT
        }
        found = {}
        for path, _, hash_info in self._repo.state.get_many(list(sober), localfs, sober):
            if hash_info is not None:
                found[path] = Obj(hash_info.name, hash_info.value)
        return found

    def remember(self, files: Mapping[str, tuple[Obj, os.stat_result]]) -> None:
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

    def remember_link(self, path: str) -> None:
        """Tell DVC that it may clean up this path when nothing tracks it any more."""
        with contextlib.suppress(DvcException, OSError):
            self._repo.state.save_link(path, localfs)
