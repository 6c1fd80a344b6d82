"""The files and folders of a run's data, as a tree.

A tracked folder's listing is read when something in the folder is asked for.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mlflow_dvc_plugin.errors import NoFileError, join_some
from mlflow_dvc_plugin.restoring.files.paths import check_path
from mlflow_dvc_plugin.restoring.run_data.listings import parse_listing, to_obj
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.entry import find_owner
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj


class Item(NamedTuple):
    """A file or a folder.

    Attributes:
        path: POSIX path relative to the run's project; empty for the project.
        obj: the object with its bytes, or with a tracked folder's listing; None for
            a folder above or inside of tracked ones.
        size: bytes; None if not recorded.
        remote: name of the out's own remote, if it has one.
    """

    path: str
    isdir: bool
    obj: Obj | None = None
    size: int | None = None
    remote: str | None = None


class Tree:
    """The files and folders of outs; `read` reads the listing of a tracked folder.

    Raises:
        UnsafePathError: a recorded path is not clearly inside a project.
        RestoreError: a recorded hash cannot be verified.
    """

    def __init__(self, entries: Iterable[Entry], read: Callable[[Item], bytes]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._items = {"": Item("", isdir=True)}
        self._children: dict[str, list[str]] = {"": []}
        self._unread: dict[str, Item] = {}  # tracked folders whose listing was not read yet
        for e in entries:
            check_path(e.path)
            obj = to_obj(e.path, e.hash_name, e.hash)
            isdir = obj.value.endswith(DIR_SUFFIX)
            item = Item(e.path, isdir, obj, e.size, e.remote)
            self._add(item)
            if isdir:
                self._unread[e.path] = item

    def find(self, path: str) -> Item:
        """Find the file or folder at a path.

        Raises:
            NoFileError: there is none.
        """
        if path not in self._items:
            self._expand(find_owner(path, self._unread))
        item = self._items.get(path)
        if item is None:
            known = join_some(sorted(self._children[""]), 10) or "none"
            raise NoFileError(f"The run has no data at {path[:200]!r}. Its top paths are: {known}.")
        return item

    def list(self, path: str) -> list[Item]:
        """List what is in a folder, by name; for a file only the file itself.

        Raises:
            NoFileError: there is no such file or folder.
        """
        item = self.find(path)
        if not item.isdir:
            return [item]
        self._expand(path if path in self._unread else None)
        return [self._items[child] for child in sorted(self._children.get(path, ()))]

    def _expand(self, folder: str | None) -> None:
        """Add the files of a tracked folder, unless they are there already."""
        if folder is None:
            return
        with self._lock:
            item = self._unread.get(folder)
            if item is None or item.obj is None:
                return
            for path, obj in parse_listing(self._read(item), folder, item.obj.hash_name):
                self._add(Item(path, isdir=False, obj=obj, remote=item.remote))
            del self._unread[folder]

    def _add(self, item: Item) -> None:
        is_known = item.path in self._items
        self._items[item.path] = item
        if is_known:
            return
        path = item.path
        while True:
            parent = posixpath.dirname(path)
            known = parent in self._children
            self._children.setdefault(parent, []).append(path)
            if known:
                return
            self._items.setdefault(parent, Item(parent, isdir=True))
            path = parent
