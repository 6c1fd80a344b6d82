"""Check where a restore may write: recorded paths come from others and are not trusted."""

from __future__ import annotations

import os
import posixpath
import stat
import unicodedata

from mlflow_dvc_plugin.errors import UnsafePathError
from mlflow_dvc_plugin.restoring.files.windows_names import find_fault
from mlflow_dvc_plugin.system_calls import IS_WINDOWS

_MAX_NAME = 255  # bytes, on all common file systems
_MAX_DEPTH = 255  # folders
_RESERVED = {".git", ".dvc", "git~1", "dvc~1"}  # Windows has short names of long ones
_SUSPICIOUS = ("/.", "//", "~", "\\", " /", "./")


def check_path(path: str) -> None:
    """Refuse a path that is not clearly inside a project, or that this system cannot have."""
    if not _is_ordinary(path):
        _check_thoroughly(path)
    if IS_WINDOWS and (fault := find_fault(path)):
        raise UnsafePathError(path, f"{fault}. Restore it on another system")


def _check_thoroughly(path: str) -> None:
    if not path or path.startswith("/") or posixpath.normpath(path) != path or path == ".":
        raise UnsafePathError(path, "it is not a normal relative path")
    if any(unicodedata.category(char) == "Cc" for char in path):
        raise UnsafePathError(path, "it has control characters")
    try:
        name = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as err:
        raise UnsafePathError(path, "it cannot be encoded as a file name") from err
    if max(map(len, name.split(b"/"))) > _MAX_NAME or name.count(b"/") > _MAX_DEPTH:
        raise UnsafePathError(path, "it is too deep, or a name in it is too long")
    if ".." in path.split("/"):
        raise UnsafePathError(path, "it leads out of the project")
    if is_reserved(path):
        raise UnsafePathError(path, "it leads into a folder that belongs to Git or DVC")


def is_reserved(path: str) -> bool:
    """Tell whether a path leads into a folder that belongs to Git or DVC."""
    return any(fold_name(part) in _RESERVED for part in path.split("/"))


def _is_ordinary(path: str) -> bool:
    """Tell quickly that a path is safe; True for nearly all paths, False settles nothing."""
    return (
        path.isascii()
        and path.isprintable()
        and path[:1] not in ("", "/", ".")
        and path[-1] not in "/. "
        and len(path) < _MAX_NAME
        and not any(text in path for text in _SUSPICIOUS)
    )


def is_within(path: str, folder: str) -> bool:
    """Tell whether a path is a folder itself, or is inside it."""
    return path == folder or path.startswith(folder + "/")


def is_external(path: str) -> bool:
    """Tell whether an out is outside the project; DVC itself does not restore those either."""
    return path.startswith("/") or "://" in path


def fold_name(name: str) -> str:
    """Reduce a name as the most tolerant file systems do: no case, no invisible characters."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in text if unicodedata.category(c) != "Cf").rstrip(" .")


class FolderGuard:
    """Refuses to go through symbolic links and into other DVC projects; remembers each folder.

    The top folder, `root`, is trusted.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[str, str | None] = {"": ""}

    def check(self, path: str) -> None:
        """Refuse a path if a folder above it is a symbolic link or another project."""
        self.inspect(posixpath.dirname(path), path)

    def inspect(self, folder: str, path: str) -> str | None:
        """Find out what exists at the place of a folder; an error names `path`.

        Returns:
            An empty string if the folder exists, None if nothing does; else
            the path of the file that exists there, or above.
        """
        if folder not in self._known:
            parent = self.inspect(posixpath.dirname(folder), path)
            self._known[folder] = parent if parent != "" else self._inspect_disk(folder, path)
        return self._known[folder]

    def _inspect_disk(self, folder: str, path: str) -> str | None:
        full = os.path.join(self._root, folder)
        try:
            mode = os.lstat(full).st_mode
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(mode):
            raise UnsafePathError(path, f"{folder} is a symbolic link")
        if os.path.isdir(os.path.join(full, ".dvc")):
            # DVC does not look into a project below the one that it was opened in.
            raise UnsafePathError(path, f"{folder} is a DVC project of its own")
        return "" if stat.S_ISDIR(mode) else folder
