"""The permissions of files, which are no part of their content."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from mlflow_dvc_plugin.restoring.files import stamps as meanwhile
from mlflow_dvc_plugin.restoring.files.temporary import beside

# What a file's permissions have to become.
Change = Callable[[int], int]


def executable(mode: int) -> int:
    """Its owner may run it."""
    return mode if mode & stat.S_IXUSR else mode | stat.S_IXUSR | stat.S_IWUSR


def plain(mode: int) -> int:
    """Nobody may run it."""
    return mode & ~0o111 | stat.S_IWUSR if mode & stat.S_IXUSR else mode


@cache
def exactly(wanted: int) -> Change:
    """They become just these."""
    return lambda _: wanted


def modes_of(root: str, paths: Iterable[str]) -> dict[str, int]:
    """The permissions of those of the files that are there.

    Args:
        root: absolute path that the paths are relative to.
        paths: of the files.
    """
    found = {path: _mode(root, path) for path in paths}
    return {path: mode for path, mode in found.items() if mode is not None}


def differing(root: str, wanted: Mapping[str, Change]) -> dict[str, int]:
    """What the permissions of those files have to be that are there and have others.

    Args:
        root: absolute path that the paths are relative to.
        wanted: what those of each file have to become.
    """
    today = modes_of(root, wanted)
    return {path: new for path, mode in today.items() if (new := wanted[path](mode)) != mode}


def put(root: str, wanted: Mapping[str, Change]) -> None:
    """Give files their permissions.

    Args:
        root: absolute path that the paths are relative to.
        wanted: what those of each file have to become.

    Raises:
        RestoreError: another program wrote to a file just now.
    """
    for path, mode in differing(root, wanted).items():
        full = os.path.join(root, path)
        if os.lstat(full).st_nlink == 1 and not os.path.islink(full):
            os.chmod(full, mode)
            continue
        # They belong to the cache's object, and to all files that are linked to it.
        seen = meanwhile.stamp_at(full)
        with beside(full) as copy:
            shutil.copyfile(full, copy)
            os.chmod(copy, mode)
            meanwhile.check(full, seen)
            os.replace(copy, full)


def _mode(root: str, path: str) -> int | None:
    try:
        info = os.stat(os.path.join(root, path))
    except OSError:
        return None
    return stat.S_IMODE(info.st_mode) if stat.S_ISREG(info.st_mode) else None
