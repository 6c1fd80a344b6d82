"""Where a restore may write: recorded paths come from others and are not trusted."""

from __future__ import annotations

import os
import posixpath
import stat
import unicodedata
from collections.abc import Iterable

from mlflow_dvc_plugin.errors import UnsafePathError

_MAX_NAME = 255  # bytes, on all common file systems
_MAX_DEPTH = 255  # folders
_KEPT = {".git", ".dvc", "git~1"}
_ODD = ("/.", "//", "~", "\\", " /", "./")


def check(path: str) -> None:
    """Refuse a path that is not plainly inside a project.

    Args:
        path: POSIX, relative to the project.

    Raises:
        UnsafePathError: it is absolute, leads upwards, into ``.git`` or
            ``.dvc``, or has control characters.
    """
    if _plain(path):
        return
    if not path or path.startswith("/") or posixpath.normpath(path) != path or path == ".":
        raise UnsafePathError(path, "it is not a plain relative path")
    if "\\" in path and os.name == "nt":
        raise UnsafePathError(path, "it is not a POSIX path")
    if any(unicodedata.category(char) == "Cc" for char in path):
        raise UnsafePathError(path, "it has control characters")
    try:
        name = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as err:
        raise UnsafePathError(path, "it is not text") from err
    if max(map(len, name.split(b"/"))) > _MAX_NAME or name.count(b"/") > _MAX_DEPTH:
        raise UnsafePathError(path, "a name in it is too long, or it is too deep")
    for part in path.split("/"):
        if part == "..":
            raise UnsafePathError(path, "it leads out of the project")
        if folded(part) in _KEPT:
            raise UnsafePathError(path, "Git's and DVC's own folders are never written to")


def _plain(path: str) -> bool:
    """Nearly all paths are: quick to tell, and no more than that."""
    return (
        path.isascii()
        and path.isprintable()
        and path[:1] not in ("", "/", ".")
        and path[-1] not in "/. "
        and len(path) < _MAX_NAME
        and not any(odd in path for odd in _ODD)
    )


def overlap(one: str, other: str) -> bool:
    """Two paths are the same, or one is in the other."""
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


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
    lenient = _ignores_case(root)
    seen: set[str] = set()
    folders: set[str] = set()
    for path in found:
        name = unicodedata.normalize("NFC", path).casefold() if lenient else path
        if name in seen:
            raise UnsafePathError(path, "it is there twice")
        seen.add(name)
        above = name.rpartition("/")[0]
        while above and above not in folders:
            folders.add(above)
            above = above.rpartition("/")[0]
    both = seen & folders
    if both:
        raise UnsafePathError(min(both), "it is both a file and a folder")


def _ignores_case(folder: str) -> bool:
    """The disk that a folder is on, or will be on, takes `A` and `a` for one name."""
    while True:
        above, name = os.path.split(folder)
        other = os.path.join(above, name.swapcase())
        if other != folder and os.path.exists(folder):
            return os.path.exists(other) and os.path.samefile(folder, other)
        if above == folder:
            return False
        folder = above


def folded(part: str) -> str:
    """A name as the most lenient file systems see it: no case, no invisible characters."""
    text = unicodedata.normalize("NFKC", part).casefold()
    return "".join(c for c in text if unicodedata.category(c) != "Cf").rstrip(" .")


class Guard:
    """Knows the folders below a root, and refuses links to others and projects of their own.

    Args:
        root: absolute path of the root, itself trusted.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[str, str | None] = {"": ""}

    def check(self, path: str) -> None:
        """Refuse `path` if a folder above it is a symbolic link or another project.

        Raises:
            UnsafePathError: one is.
        """
        self.folder(posixpath.dirname(path), path)

    def folder(self, folder: str, path: str) -> str | None:
        """What stands where a folder is to be.

        Args:
            folder: relative to the root.
            path: what is to be in it, to name in an error.

        Returns:
            Empty if the folder is there, None if nothing is; else the path of
            the file that stands there, or above it.

        Raises:
            UnsafePathError: it is, or is below, a symbolic link or another project.
        """
        if folder in self._known:
            return self._known[folder]
        above = self.folder(posixpath.dirname(folder), path)
        found = above if above != "" else self._look(folder, path)
        self._known[folder] = found
        return found

    def _look(self, folder: str, path: str) -> str | None:
        full = os.path.join(self._root, folder)
        try:
            mode = os.lstat(full).st_mode
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(mode):
            raise UnsafePathError(path, f"{folder} is a symbolic link")
        if os.path.isdir(os.path.join(full, ".dvc")):
            # DVC does not look into one from the project above it.
            raise UnsafePathError(path, f"{folder} is a DVC project of its own")
        return "" if stat.S_ISDIR(mode) else folder
