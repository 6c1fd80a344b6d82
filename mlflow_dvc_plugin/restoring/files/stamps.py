"""Stamps tell, just before a file is replaced, whether another program wrote to it."""

from __future__ import annotations

import os
import stat

from mlflow_dvc_plugin.errors import RestoreError


def to_stamp(info: os.stat_result) -> int:
    """Make a stamp that changes with each write, but not with links and permissions."""
    return hash((info.st_ino, info.st_size, info.st_mtime_ns))


def read_stamp(path: str) -> int | None:
    """Read a file's stamp, or that of a link's target; None if there is nothing, or a folder."""
    try:
        info = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISLNK(info.st_mode):
        return None if stat.S_ISDIR(info.st_mode) else to_stamp(info)
    try:
        return to_stamp(os.stat(path))
    except OSError:
        return hash(os.readlink(path))


def check_stamp(path: str, stamp: int | None) -> None:
    """Refuse to replace a file that was written to; one that was deleted is no loss."""
    if read_stamp(path) not in (None, stamp):
        raise concurrent_write(path)


def concurrent_write(path: str) -> RestoreError:
    """Make the error that says: a file was written to, and it was not replaced."""
    return RestoreError(
        f"Another program wrote to {path} just now. The file was left as it is, and the work is "
        "not complete. Run the same command again when that program has ended."
    )
