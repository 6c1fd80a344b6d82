"""Everything that a reading of a project depends on, and whether it is unchanged.

This is the one place that knows it: the environment, the Git repository, every
file that was read or looked for, and every folder that was listed.

A file or folder that was not touched has the same signature as before:
modification and change time, size and inode. But timestamps are coarse. For
what was touched just before capture looked at it, an equal signature proves
nothing. Until it has aged, its content is compared as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from mlflow_dvc_plugin.capturing.files import Signature, find_signature, hash_bytes, read_file
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.git import find_git

# No file system has coarser timestamps.
SETTLED_NS = 2_000_000_000
# Files that a reading looks for in a folder, in addition to `.dvc` files.
_NAMES = frozenset((".dvc", ".dvcignore", ".gitignore", "dvc.lock", "dvc.yaml"))
# Variables that decide where the configuration of DVC and Git is.
_ENVIRONMENT = (
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "DVC_SYSTEM_CONFIG_DIR",
    "DVC_GLOBAL_CONFIG_DIR",
    "LOCALAPPDATA",
    "PROGRAMDATA",
)

# The folders in a folder (with whether each is a link), and the files that matter.
Listing = tuple[dict[str, bool], list[str]]


class Watch:
    """The state of everything that a reading depends on, taken before it is read."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._environment = _read_environment()
        self.git = find_git(project)
        self._files: dict[str, Signature] = {}
        self._absent: set[str] = set()
        self._folders: dict[str, Signature | None] = {}
        self._listings: dict[str, Listing | None] = {}
        # What can change without a new signature; files with the hash of their content.
        self._fresh_files: dict[str, str | None] = {}
        self._fresh_folders: set[str] = set()

    def to_json(self) -> dict[str, Any]:
        """Everything that is watched, as values that JSON returns unchanged or as lists."""
        return {
            "environment": self._environment,
            "git": self.git,
            "files": self._files,
            "absent": sorted(self._absent),
            "folders": self._folders,
            "listings": self._listings,
            "fresh_files": self._fresh_files,
            "fresh_folders": sorted(self._fresh_folders),
        }

    @classmethod
    def from_json(cls, project: str, saved: Mapping[str, Any]) -> Watch:
        """The watch that :meth:`to_json` described; a LookupError or such if it described none."""
        watch = cls(project)
        watch._environment = tuple(saved["environment"])
        watch.git = _to_tuple(saved["git"])
        watch._files = {path: tuple(found) for path, found in saved["files"].items()}
        watch._absent = set(saved["absent"])
        watch._folders = {path: _to_tuple(found) for path, found in saved["folders"].items()}
        watch._listings = {path: _to_tuple(found) for path, found in saved["listings"].items()}
        watch._fresh_files = dict(saved["fresh_files"])
        watch._fresh_folders = set(saved["fresh_folders"])
        return watch

    @property
    def files(self) -> list[str]:
        """The files that were read or looked for, whether they exist or not."""
        return [*self._files, *self._absent]

    def add_file(self, path: str) -> None:
        """Watch a file that will be read, or looked for, next."""
        if path not in self._files and path not in self._absent and "\0" not in path:
            signature = find_signature(path)
            if signature is None:
                self._absent.add(path)
                return
            self._files[path] = signature
            if not _is_settled(signature):
                self._fresh_files[path] = _hash_content(path)

    def list_folder(self, path: str) -> Listing | None:
        """List a folder, and watch it; None if it cannot be listed."""
        signature = self._folders[path] = find_signature(path)
        listing = self._listings[path] = _list(path)
        if signature is None or listing is None or not _is_settled(signature):
            self._fresh_folders.add(path)
        return listing

    def is_unchanged(self) -> bool:
        """Would a reading find the same now?"""
        return (
            self._environment == _read_environment()
            and self.git == find_git(self._project)
            and self._has_same_signatures()
            and self._has_same_fresh_content()
        )

    def _has_same_signatures(self) -> bool:
        # No function of Python's is called for each path here: there can be ten thousand.
        stat, access, exists = os.stat, os.access, os.F_OK
        for path in self._absent:
            if access(path, exists):  # twice as fast as a stat that fails
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
            # The file that came or went may not matter, such as the journal of a database.
            if now != listed and not self._has_same_listing(path, now):
                return False
        return True

    def _has_same_listing(self, path: str, now: Signature) -> bool:
        if _list(path) != self._listings[path]:
            return False
        self._folders[path] = now
        if not _is_settled(now):
            self._fresh_folders.add(path)
        return True

    def _has_same_fresh_content(self) -> bool:
        for path, content in list(self._fresh_files.items()):
            is_settled = _is_settled(self._files[path])
            if _hash_content(path) != content:
                return False
            if is_settled:
                self._fresh_files.pop(path, None)
        for path in list(self._fresh_folders):
            before = self._folders[path]
            is_settled = before is not None and _is_settled(before)
            listing = self._listings[path]
            if _list(path) != listing:
                return False
            if is_settled and listing is not None and not _has_links(path, listing[1]):
                self._fresh_folders.discard(path)
        return True


def _to_tuple(saved: list[Any] | None) -> Any:
    return None if saved is None else tuple(saved)


def _read_environment() -> tuple[str | None, ...]:
    return os.path.expanduser("~"), *map(os.environ.get, _ENVIRONMENT)


def _is_settled(signature: Signature) -> bool:
    return time.time_ns() - max(signature[0], signature[3]) > SETTLED_NS


def _hash_content(path: str) -> str | None:
    try:
        return hash_bytes(read_file(path, path))
    except CaptureError:
        return None


def _list(path: str) -> Listing | None:
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
    # The target of a link can change without its folder.
    return any(os.path.islink(os.path.join(path, name)) for name in names)
