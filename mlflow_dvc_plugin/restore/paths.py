"""Where a restore may write: recorded paths come from others and are not trusted."""

from __future__ import annotations

import os
import posixpath
import stat
import unicodedata
from collections.abc import Iterable

from mlflow_dvc_plugin.errors import UnsafePathError

_KEPT = {".git", ".dvc", "git~1"}


def check(path: str) -> None:
    """Refuse a path that is not plainly inside a project.

    Args:
        path: POSIX, relative to the project.

    Raises:
        UnsafePathError: it is absolute, leads upwards, into ``.git`` or
            ``.dvc``, or has control characters.
    """
    if not path or path.startswith("/") or posixpath.normpath(path) != path or path == ".":
        raise UnsafePathError(path, "it is not a plain relative path")
    if "\\" in path and os.name == "nt":
        raise UnsafePathError(path, "it is not a POSIX path")
    if any(unicodedata.category(char) == "Cc" for char in path):
        raise UnsafePathError(path, "it has control characters")
    for part in path.split("/"):
        if part == "..":
            raise UnsafePathError(path, "it leads out of the project")
        if _folded(part) in _KEPT:
            raise UnsafePathError(path, "Git's and DVC's own folders are never written to")


def is_external(path: str) -> bool:
    """An out outside the project, which DVC itself does not restore either."""
    return path.startswith("/") or "://" in path


def check_apart(root: str, found: Iterable[str]) -> None:
    """Refuse paths that would meet on the disk: twins, or a file that is also a folder.

    Args:
        root: absolute path of the folder that they are relative to.
        found: the paths of files.

    Raises:
        UnsafePathError: two of them meet.
    """
    lenient = os.path.exists(os.path.join(root, ".DVC"))
    seen: set[str] = set()
    folders: set[str] = set()
    for path in found:
        name = unicodedata.normalize("NFC", path).casefold() if lenient else path
        if name in seen:
            raise UnsafePathError(path, "it is there twice")
        seen.add(name)
        above = posixpath.dirname(name)
        while above and above not in folders:
            folders.add(above)
            above = posixpath.dirname(above)
    both = seen & folders
    if both:
        raise UnsafePathError(min(both), "it is both a file and a folder")


def _folded(part: str) -> str:
    """A name as the most lenient file systems see it: no case, no invisible characters."""
    text = unicodedata.normalize("NFKC", part).casefold()
    return "".join(c for c in text if unicodedata.category(c) != "Cf").rstrip(" .")


class Guard:
    """Refuses to go through symbolic links below a folder.

    Args:
        root: absolute path of the folder, itself trusted.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._sound = {""}

    def check(self, path: str) -> None:
        """Refuse `path` if a folder above it is a symbolic link.

        Raises:
            UnsafePathError: one is.
        """
        folder = posixpath.dirname(path)
        todo = []
        while folder not in self._sound:
            todo.append(folder)
            folder = posixpath.dirname(folder)
        for above in reversed(todo):
            try:
                mode = os.lstat(os.path.join(self._root, above)).st_mode
            except (FileNotFoundError, NotADirectoryError):
                return
            if stat.S_ISLNK(mode):
                raise UnsafePathError(path, f"{above} is a symbolic link")
            if stat.S_ISDIR(mode):
                self._sound.add(above)
