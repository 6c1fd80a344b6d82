"""The executable bit of files, which is no part of their content."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress

from mlflow_dvc_plugin.restore.apply import temporary_beside


def differing(root: str, wanted: Mapping[str, bool]) -> dict[str, bool]:
    """Those of the files that are there, and are executable where they should not be, or not.

    Args:
        root: absolute path that the paths are relative to.
        wanted: whether each file has to be executable.
    """
    return {path: on for path, on in wanted.items() if _is_executable(root, path) == (not on)}


def put(root: str, wanted: Mapping[str, bool]) -> None:
    """Make files executable, or not.

    Args:
        root: absolute path that the paths are relative to.
        wanted: whether each file has to be executable.
    """
    for path, on in differing(root, wanted).items():
        full = os.path.join(root, path)
        mode = stat.S_IMODE(os.stat(full).st_mode)
        mode = mode | stat.S_IXUSR if on else mode & ~0o111
        if os.lstat(full).st_nlink == 1 and not os.path.islink(full):
            os.chmod(full, mode)
            continue
        # The bit belongs to the cache's object, and to all files that are linked to it.
        beside = temporary_beside(full)
        try:
            shutil.copyfile(full, beside)
            os.chmod(beside, mode | stat.S_IWUSR)
            os.replace(beside, full)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(beside)


def _is_executable(root: str, path: str) -> bool | None:
    try:
        info = os.stat(os.path.join(root, path))
    except OSError:
        return None
    return bool(info.st_mode & stat.S_IXUSR) if stat.S_ISREG(info.st_mode) else None
