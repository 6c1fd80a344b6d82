"""DVC's state database: the hash that DVC took of a file, by inode, mtime and size.

Read as it is: nothing is locked, waited for or written, and what cannot be read
counts as absent.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable
from hashlib import md5
from typing import Any
from urllib.parse import quote

from mlflow_dvc_plugin.capturing.config import Config

_DVC_MAJOR = 3
_BATCH = 900
_MAX_ROWS = 2_000_000


def find(project: str, config: Config) -> str | None:
    """The path of the project's database; None if there is none."""
    token = (project, None, _btime(project), _user(), _DVC_MAJOR, 0)
    name = md5(str(token).encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    path = os.path.join(_site_cache_dir(config), "repo", name, "hashes", "local", "cache.db")
    return path if os.path.isfile(path) else None


def _site_cache_dir(config: Config) -> str:
    chosen = os.environ.get("DVC_SITE_CACHE_DIR") or config.get("core", {}).get("site_cache_dir")
    if chosen:
        return chosen
    if sys.platform == "darwin":
        return "/Library/Caches/dvc"
    if os.name == "nt":
        base = os.environ.get("PROGRAMDATA", "C:\\ProgramData")
        return os.path.join(base, "iterative", "dvc", "Cache")
    return "/var/tmp/dvc"  # noqa: S108 - where DVC keeps it


def _btime(project: str) -> float | None:
    try:
        return os.path.getmtime(os.path.join(project, ".dvc", "tmp", "btime"))
    except OSError:
        return None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None


class StateDb:
    """An open database.

    Args:
        path: of the database; None for an empty one.
    """

    def __init__(self, path: str | None) -> None:
        self._connection: Any = _connect(path) if path else None

    def under(self, folder: str) -> dict[str, str]:
        """The records of all files below a folder, by absolute path."""
        query = "SELECT key, value FROM Cache WHERE raw = 1 AND key >= ? AND key < ? LIMIT ?"
        prefix = folder.rstrip(os.sep) + os.sep
        after = prefix[:-1] + chr(ord(os.sep) + 1)
        return self._rows(query, (prefix, after, _MAX_ROWS))

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """The records of some files, by absolute path."""
        wanted, found = list(paths), {}
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            marks = ",".join("?" * len(batch))
            query = f"SELECT key, value FROM Cache WHERE raw = 1 AND key IN ({marks})"  # noqa: S608 - question marks only
            found.update(self._rows(query, batch))
        return found

    def _rows(self, query: str, values: Iterable[Any]) -> dict[str, str]:
        if self._connection is None:
            return {}
        import sqlite3

        try:
            rows = self._connection.execute(query, list(values)).fetchall()
        except (sqlite3.Error, UnicodeError, ValueError):
            return {}
        return {key: value for key, value in rows if isinstance(value, str)}

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: str) -> Any:
    try:
        import sqlite3
    except ImportError:  # a Python built without it
        return None
    # SQLite makes files beside a database in WAL mode unless told that nobody
    # writes to it; while DVC has it open they are there already.
    mode = "mode=ro" if os.path.exists(f"{path}-shm") else "immutable=1"
    try:
        uri = f"file:{quote(path)}?{mode}"
        return sqlite3.connect(uri, uri=True, timeout=0, check_same_thread=False)
    except sqlite3.Error:
        return None
