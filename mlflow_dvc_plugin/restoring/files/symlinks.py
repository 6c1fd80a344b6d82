"""Symbolic links that users made in the place of data: their targets are recorded and kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from mlflow_dvc_plugin.state.objects import Obj

# Used as an object's hash name; its value is then the path that the link leads to.
SYMLINK = "symlink"


def read_symlink(path: str) -> Obj | None:
    """Read the link at an absolute path; None for anything else."""
    try:
        return Obj(SYMLINK, os.readlink(path))
    except OSError:
        return None


def is_symlink(obj: Obj | None) -> bool:
    """Tell whether an object stands for a symbolic link and not for bytes."""
    return obj is not None and obj.hash_name == SYMLINK


def find_user_symlinks(caches: Sequence[str], root: str, paths: Iterable[str]) -> dict[str, Obj]:
    """Find symbolic links that do not lead into the cache's folders, as DVC's own do."""
    found = {}
    caches = [os.path.realpath(cache) + os.sep for cache in caches]
    is_folder: dict[str, bool] = {}
    for path in paths:
        full = os.path.join(root, path)
        folder = os.path.dirname(full)
        if folder not in is_folder:
            is_folder[folder] = os.path.isdir(folder)
        link = read_symlink(full) if is_folder[folder] else None
        if link is not None:
            target = os.path.join(os.path.realpath(folder), link.value)
            if not any((os.path.realpath(target) + os.sep).startswith(cache) for cache in caches):
                found[path] = link
    return found
