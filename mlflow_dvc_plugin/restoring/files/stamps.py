"""Just before a file is replaced: did another program write to it since it was read?"""

from __future__ import annotations

import os
import stat

from mlflow_dvc_plugin.errors import RestoreError


def stamp(info: os.stat_result) -> int:
    """What a file's stat says of when it was written; its links and permissions do not count."""
    return hash((info.st_ino, info.st_size, info.st_mtime_ns))


def stamp_at(path: str) -> int | None:
    """The stamp of what an absolute path leads to; None for nothing there, or a folder.

    A link that leads nowhere has one, too.
    """
    try:
        info = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISLNK(info.st_mode):
        return None if stat.S_ISDIR(info.st_mode) else stamp(info)
    try:
        return stamp(os.stat(path))
    except OSError:
        return hash(os.readlink(path))


def check(path: str, seen: int | None) -> None:
    """Refuse to replace what is not the file that was seen; one that is gone by now is no loss.

    Args:
        path: absolute.
        seen: the stamp of the file when its content was read; None for nothing.

    Raises:
        RestoreError: another file, or another content, is there.
    """
    if stamp_at(path) not in (None, seen):
        refuse(path)


def refuse(path: str) -> None:
    """Say that a file was written to, and that nothing of it is lost.

    Raises:
        RestoreError: always.
    """
    raise RestoreError(
        f"Another program wrote to {path} just now: it was left as it is, and not everything is "
        "done. Run the same command again once that program has ended."
    )
