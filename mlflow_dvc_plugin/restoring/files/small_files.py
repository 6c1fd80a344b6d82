"""The small files that a restore writes from memory: metafiles, and what is Git's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from mlflow_dvc_plugin.errors import UnsafePathError
from mlflow_dvc_plugin.restoring.files import stamps as meanwhile
from mlflow_dvc_plugin.restoring.files.paths import Guard
from mlflow_dvc_plugin.restoring.files.permissions import Change
from mlflow_dvc_plugin.restoring.files.temporary import beside

# Bytes by path; None for no file.
Texts = Mapping[str, bytes | None]


def refuse_links(root: str, paths: Iterable[str]) -> None:
    """Refuse files that are links, or behind some: they lead to what is not ours.

    Args:
        root: absolute path that the paths are relative to.
        paths: of the files.

    Raises:
        UnsafePathError: one is.
    """
    guard = Guard(root)
    for path in paths:
        guard.check(path)
        if os.path.islink(os.path.join(root, path)):
            raise UnsafePathError(path, "it is a symbolic link")


def bytes_of(root: str, paths: Iterable[str]) -> dict[str, bytes | None]:
    """What the files hold.

    Args:
        root: absolute path that the paths are relative to.
        paths: of the files.
    """
    return {path: _bytes_of(os.path.join(root, path)) for path in paths}


def check(root: str, seen: Texts) -> None:
    """Refuse to replace files that hold something else than was seen.

    Args:
        root: absolute path that the paths are relative to.
        seen: what each file held.

    Raises:
        RestoreError: one does.
    """
    for path, data in seen.items():
        full = os.path.join(root, path)
        if _bytes_of(full) != data:
            meanwhile.refuse(full)


def write(root: str, texts: Texts, seen: Texts, modes: Mapping[str, Change]) -> None:
    """Replace files, each in one step; their permissions stay.

    Args:
        root: absolute path that the paths are relative to.
        texts: what each file has to hold; None for one that has to go.
        seen: what each held when that was decided.
        modes: what the permissions of those files become that are not there.

    Raises:
        RestoreError: another program wrote to one.
    """
    for path, data in texts.items():
        target = os.path.join(root, path)
        if data is None:
            check(root, {path: seen[path]})
            with suppress(FileNotFoundError):
                os.unlink(target)
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with beside(target) as new:
            with open(new, "xb") as file:
                file.write(data)
            if os.path.exists(target):
                os.chmod(new, os.stat(target).st_mode)
            elif path in modes:
                os.chmod(new, modes[path](0))
            check(root, {path: seen[path]})
            os.replace(new, target)


def _bytes_of(full: str) -> bytes | None:
    try:
        with open(full, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
