"""What the disk of a restore can hold: some disks do not tell upper case from lower case."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterable

from mlflow_dvc_plugin.errors import UnsafePathError
from mlflow_dvc_plugin.restoring.files.temporary import make_path
from mlflow_dvc_plugin.system_calls import IS_WINDOWS, find_longest_path


def check_files(root: str, paths: Collection[str]) -> None:
    """Refuse files that the disk of a folder cannot hold, or not beside each other."""
    check_spelling(root, paths)
    check_lengths(root, paths, find_longest_path())
    seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        if path in seen:
            raise UnsafePathError(path, "it is recorded twice")
        seen.add(path)
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    both = seen & folders
    if both:
        raise UnsafePathError(min(both), "it is recorded as a file and as a folder")


def check_spelling(root: str, paths: Iterable[str]) -> None:
    """Refuse paths that the disk of a folder, which need not exist yet, takes for the same."""
    if ignores_case(root):
        check_case(paths)


def check_case(paths: Iterable[str]) -> None:
    """Refuse paths that differ only in case, or lead through folders that do."""
    spellings: dict[str, str] = {}
    for path in paths:
        part = path
        while part:
            other = spellings.setdefault(unicodedata.normalize("NFC", part).casefold(), part)
            if other != part:
                raise UnsafePathError(
                    path,
                    f"this disk takes {part[:200]!a} and {other[:200]!a} for the same name. Name "
                    "only one of them, or restore to a disk that tells them apart",
                )
            part = part.rpartition("/")[0]


def check_lengths(root: str, paths: Iterable[str], longest: int) -> None:
    """Refuse files whose absolute path, or that of a temporary file beside them, is too long."""
    room = longest - _measure(os.path.join(root, ""))
    temporary = len(make_path(""))
    for path in paths:
        if 4 * (len(path) + temporary) <= room:
            continue  # no character takes more than four bytes
        folder = path.rpartition("/")[0]
        if max(_measure(path), _measure(folder) + 1 + temporary) > room:
            raise UnsafePathError(
                path, f"it is too long below {root}. Restore to a folder with a shorter path"
            )


def _measure(path: str) -> int:
    if IS_WINDOWS:
        return len(path.encode("utf-16-le", "surrogatepass")) // 2
    return len(os.fsencode(path))


def ignores_case(folder: str) -> bool:
    """Tell whether the disk of a folder, which need not exist yet, ignores case in names.

    An empty disk does not tell; then, the second of two files is not written over the first.
    """
    try:
        with os.scandir(folder) as items:
            name = next((item.name for item in items if item.name != item.name.swapcase()), "")
        if name:
            path, other = (os.path.join(folder, each) for each in (name, name.swapcase()))
            return os.path.samestat(os.lstat(path), os.lstat(other))
    except OSError:  # there is no such folder, or no other name of what is in it
        pass
    return not os.path.ismount(folder) and ignores_case(os.path.dirname(folder))
