"""Contents of small files that a restore keeps in memory: metafiles, and files in Git.

In each function, `root` is the absolute path that the paths are relative to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from mlflow_dvc_plugin.errors import UnsafePathError
from mlflow_dvc_plugin.restoring.files.paths import FolderGuard
from mlflow_dvc_plugin.restoring.files.permissions import ModeChange
from mlflow_dvc_plugin.restoring.files.stamps import concurrent_write
from mlflow_dvc_plugin.restoring.files.temporary import make_temporary

# Bytes by path; None for a file that does not exist.
Contents = Mapping[str, bytes | None]


def check_symlinks(root: str, paths: Iterable[str]) -> None:
    """Refuse files that are symbolic links, or that are behind one."""
    guard = FolderGuard(root)
    for path in paths:
        guard.check(path)
        if os.path.islink(os.path.join(root, path)):
            raise UnsafePathError(path, "it is a symbolic link")


def read_file(path: str) -> bytes | None:
    """Read a file, given by its absolute path; None if it does not exist."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_contents(root: str, contents: Contents) -> None:
    """Refuse to replace files that no longer hold `contents`, which was read from them."""
    for path, data in contents.items():
        full = os.path.join(root, path)
        if read_file(full) != data:
            raise concurrent_write(full)


def write_contents(
    root: str, contents: Contents, old_contents: Contents, modes: Mapping[str, ModeChange]
) -> None:
    """Replace files, each in one step; `modes` are permissions of files that do not exist yet."""
    for path, data in contents.items():
        target = os.path.join(root, path)
        if data is None:
            check_contents(root, {path: old_contents[path]})
            with suppress(FileNotFoundError):
                os.unlink(target)
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with make_temporary(target) as new:
            with open(new, "xb") as file:
                file.write(data)
            if os.path.exists(target):
                os.chmod(new, os.stat(target).st_mode)
            elif path in modes:
                os.chmod(new, modes[path](0))
            check_contents(root, {path: old_contents[path]})
            os.replace(new, target)
