"""Permissions of files, which are not part of their content.

In each function, `root` is the absolute path that the paths are relative to, and
`changes` is what must become of each file's permissions.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache

from mlflow_dvc_plugin.restoring.files.stamps import check_stamp, read_stamp
from mlflow_dvc_plugin.restoring.files.temporary import make_temporary

# Turns the permissions that a file has into those that it must have.
ModeChange = Callable[[int], int]


def add_executable(mode: int) -> int:
    """Let the owner run the file."""
    return mode if mode & stat.S_IXUSR else mode | stat.S_IXUSR | stat.S_IWUSR


def remove_executable(mode: int) -> int:
    """Let nobody run the file."""
    return mode & ~0o111 | stat.S_IWUSR if mode & stat.S_IXUSR else mode


@cache
def set_exactly(mode: int) -> ModeChange:
    """Make a change that always results in the same permissions."""
    return lambda _: mode


def read_modes(root: str, paths: Iterable[str]) -> dict[str, int]:
    """Read the permissions of those files that exist."""
    modes = {}
    for path in paths:
        with suppress(OSError):
            mode = os.stat(os.path.join(root, path)).st_mode
            if stat.S_ISREG(mode):
                modes[path] = stat.S_IMODE(mode)
    return modes


def find_changes(root: str, changes: Mapping[str, ModeChange]) -> dict[str, int]:
    """Find the new permissions of those files that exist and have other ones."""
    modes = read_modes(root, changes)
    return {path: new for path, mode in modes.items() if (new := changes[path](mode)) != mode}


def change_modes(root: str, changes: Mapping[str, ModeChange]) -> None:
    """Give files their permissions."""
    for path, mode in find_changes(root, changes).items():
        full = os.path.join(root, path)
        if os.lstat(full).st_nlink == 1 and not os.path.islink(full):
            os.chmod(full, mode)
            continue
        # A link shares its permissions with the cache object: make it a copy first.
        stamp = read_stamp(full)
        with make_temporary(full) as copy:
            shutil.copyfile(full, copy)
            os.chmod(copy, mode)
            check_stamp(full, stamp)
            os.replace(copy, full)
