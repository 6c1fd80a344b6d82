"""DVC's state database: the hashes that DVC computed of files, by inode, mtime and size.

It is opened without a lock and never written. A database that cannot be read
counts as empty.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from hashlib import md5
from typing import Any
from urllib.parse import quote

from mlflow_dvc_plugin.capturing.dvc_config import Config

_DVC_MAJOR = 3
_BATCH = 900
_MAX_ROWS = 2_000_000


def find_database(project: str, config: Config) -> str | None:
    """Find the project's database; None if there is none."""
    btime = user = None
    with suppress(OSError):
        btime = os.path.getmtime(os.path.join(project, ".dvc", "tmp", "btime"))
    with suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
    token = (project, None, btime, user, _DVC_MAJOR, 0)
    name = md5(str(token).encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    path = os.path.join(_find_site_cache_dir(config), "repo", name, "hashes", "local", "cache.db")
    return path if os.path.isfile(path) else None


def _find_site_cache_dir(config: Config) -> str:
    folder = os.environ.get("DVC_SITE_CACHE_DIR") or config.get("core", {}).get("site_cache_dir")
    if folder:
        return folder
    if sys.platform == "darwin":  # pragma: no cover - macOS
        return "/Library/Caches/dvc"
    if os.name == "nt":  # pragma: no cover - Windows
        base = os.environ.get("PROGRAMDATA", "C:\\ProgramData")
        return os.path.join(base, "iterative", "dvc", "Cache")
    return "/var/tmp/dvc"  # noqa: S108 - the folder that DVC uses


class StateDatabase:
    """An open database; an empty one if `path` is None."""

    def __init__(self, path: str | None) -> None:
        self._connection: Any = _connect(path) if path else None

    def find_records_below(self, folder: str) -> dict[str, str]:
        """The records of all files below a folder, by absolute path."""
        query = "SELECT key, value FROM Cache WHERE raw = 1 AND key >= ? AND key < ? LIMIT ?"
        prefix = folder.rstrip(os.sep) + os.sep
        after = prefix[:-1] + chr(ord(os.sep) + 1)
        return self._query(query, (prefix, after, _MAX_ROWS))

    def find_records(self, paths: Iterable[str]) -> dict[str, str]:
        """The records of some files, by absolute path."""
        keys = list(paths)
        found: dict[str, str] = {}
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            marks = ",".join("?" * len(batch))
            query = f"SELECT key, value FROM Cache WHERE raw = 1 AND key IN ({marks})"  # noqa: S608 - question marks only
            found.update(self._query(query, batch))
        return found

    def _query(self, query: str, values: Iterable[Any]) -> dict[str, str]:
        if self._connection is None:
            return {}
        import sqlite3

        try:
            rows = self._connection.execute(query, list(values)).fetchall()
        except (sqlite3.Error, UnicodeError, ValueError):
            return {}
        return {key: value for key, value in rows if isinstance(value, str)}

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: str) -> Any:
    try:
        import sqlite3
    except ImportError:  # pragma: no cover - a Python built without it
        return None
    # In WAL mode, SQLite creates more files next to a database, unless it is told that
    # no process writes to it. While DVC has it open, those files exist already.
    mode = "mode=ro" if os.path.exists(f"{path}-shm") else "immutable=1"
    try:
        uri = f"file:{quote(path)}?{mode}"
        return sqlite3.connect(uri, uri=True, timeout=0, check_same_thread=False)
    except sqlite3.Error:
        return None
