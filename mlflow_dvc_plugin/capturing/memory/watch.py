"""What a reading of a project rests on, and whether all of it is still so.

A file or folder that nobody touched has the stat that it had: modification and
change time, size and inode. Timestamps are coarse, so for what was touched just
before it was looked at, that proves nothing: until it has aged, its content is
read and compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from mlflow_dvc_plugin.capturing.files import Signature, read, signature
from mlflow_dvc_plugin.errors import CaptureError

# No file system's timestamps are coarser.
SETTLED_NS = 2_000_000_000
# Names that matter to a reading, beside those of folders.
_NAMES = frozenset((".dvc", ".dvcignore", ".gitignore", "dvc.lock", "dvc.yaml"))

# Folders (with whether they are links), and the other names that matter.
Listing = tuple[dict[str, bool], list[str]]


class Watch:
    """The files and folders that were looked at, as they were before."""

    def __init__(self) -> None:
        self._files: dict[str, Signature] = {}
        self._absent: set[str] = set()
        self._folders: dict[str, Signature | None] = {}
        self._listings: dict[str, Listing | None] = {}
        # What may change without its signature, with the hash of its content.
        self._fresh_files: dict[str, int | None] = {}
        self._fresh_folders: set[str] = set()

    @property
    def files(self) -> list[str]:
        """The files that were read or looked for, there or not."""
        return [*self._files, *self._absent]

    def file(self, path: str) -> None:
        """Note a file that is about to be read, or looked for."""
        if path not in self._files and path not in self._absent and "\0" not in path:
            found = signature(path)
            if found is None:
                self._absent.add(path)
                return
            self._files[path] = found
            if not _is_settled(found):
                self._fresh_files[path] = _content(path)

    def listing(self, path: str) -> Listing | None:
        """List a folder, and note it; None if it cannot be listed."""
        found = self._folders[path] = signature(path)
        listing = self._listings[path] = _listed(path)
        if found is None or listing is None or not _is_settled(found):
            self._fresh_folders.add(path)
        return listing

    def holds(self) -> bool:
        """Would all that was looked at look the same now?"""
        stat = os.stat
        for path in self._absent:
            # Twice as fast as a stat that fails.
            if os.access(path, os.F_OK):
                return False
        for path, before in self._files.items():
            try:
                info = stat(path)
            except (OSError, ValueError):
                return False
            if (info.st_mtime_ns, info.st_size, info.st_ino, info.st_ctime_ns) != before:
                return False
        for path, listed in self._folders.items():
            try:
                info = stat(path)
            except (OSError, ValueError):
                if listed is None:
                    continue
                return False
            now = info.st_mtime_ns, info.st_size, info.st_ino, info.st_ctime_ns
            # What comes and goes in it may be of no interest, such as a database's journal.
            if now != listed and not self._same_listing(path, now):
                return False
        return self._fresh_hold()

    def _same_listing(self, path: str, now: Signature) -> bool:
        if _listed(path) != self._listings[path]:
            return False
        self._folders[path] = now
        if not _is_settled(now):
            self._fresh_folders.add(path)
        return True

    def _fresh_hold(self) -> bool:
        for path, content in list(self._fresh_files.items()):
            settled = _is_settled(self._files[path])
            if _content(path) != content:
                return False
            if settled:
                self._fresh_files.pop(path, None)
        for path in list(self._fresh_folders):
            before = self._folders[path]
            settled = before is not None and _is_settled(before)
            listing = self._listings[path]
            if _listed(path) != listing:
                return False
            if settled and listing is not None and not _has_links(path, listing[1]):
                self._fresh_folders.discard(path)
        return True


def _is_settled(found: Signature) -> bool:
    return time.time_ns() - max(found[0], found[3]) > SETTLED_NS


def _content(path: str) -> int | None:
    try:
        return hash(read(path, path))
    except CaptureError:
        return None


def _listed(path: str) -> Listing | None:
    folders: dict[str, bool] = {}
    others = []
    try:
        with os.scandir(path) as entries:
            for item in entries:
                name = item.name
                if _is_dir(item):
                    folders[name] = item.is_symlink()
                elif name in _NAMES or name.endswith(".dvc"):
                    others.append(name)
    except OSError:
        return None
    return folders, others


def _is_dir(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:
        return False


def _has_links(path: str, names: Iterable[str]) -> bool:
    # Where a link leads can change without its folder.
    return any(os.path.islink(os.path.join(path, name)) for name in names)
