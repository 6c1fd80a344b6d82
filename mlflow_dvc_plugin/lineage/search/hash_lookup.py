"""Where a hash occurs: outs, and the files in tracked folders."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.lineage.listings import is_listing, read_listings, to_object
from mlflow_dvc_plugin.lineage.recorded_states import Entries
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj


class HashLookup:
    """Finds the paths that have a hash: outs, and files in tracked folders.

    Attributes:
        unread: folders whose listings cannot be read, and why.
    """

    def __init__(self, value: str, dvc: DvcProject | None) -> None:
        self._value = value
        self._dvc = dvc
        # The files with the hash, by the hash of the folder that they are in.
        self._files: dict[str, list[str]] = {}
        self._folders: set[Obj] = set()
        # Runs of the same state share its tuple. It is kept here so that its id stays its own.
        self._paths: dict[int, tuple[Entries, list[str]]] = {}
        self.unread: dict[str, str] = {}

    def read_folders(self, states: Iterable[Entries]) -> None:
        """Read the listings of the states' folders; those that were read before are skipped."""
        if self._value.endswith(DIR_SUFFIX):
            return  # a listing names files only
        new: dict[Obj, Entry] = {}
        for entries in states:
            if id(entries) in self._paths:
                continue
            for e in entries:
                obj = to_object(e)
                if is_listing(obj) and obj not in self._folders:
                    self._folders.add(obj)
                    new[obj] = e
        for obj, members, reason, _ in read_listings(self._dvc, new.values()):
            if members is None:
                self.unread[f"{new[obj].path} ({obj.value})"] = reason
            elif names := sorted(name for name, value in members.items() if value == self._value):
                self._files[obj.value] = names

    def find_paths(self, entries: Entries) -> list[str]:
        """The paths with the hash in a state whose folders were read."""
        key = id(entries)
        if key not in self._paths:
            self._paths[key] = entries, list(self._iterate_paths(entries))
        return self._paths[key][1]

    def _iterate_paths(self, entries: Entries) -> Iterator[str]:
        for e in entries:
            if e.hash == self._value:
                yield e.path
            for name in self._files.get(str(e.hash), ()):
                yield posixpath.join(e.path, name)
