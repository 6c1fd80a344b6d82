"""Where hashes occur: in outs, and in the listings of tracked folders."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.dvc.storage import Place, Storage
from mlflow_dvc_plugin.errors import DvcError, EmptyRemoteError, MlflowDvcError
from mlflow_dvc_plugin.lineage.listings import (
    is_listing,
    read_listings,
    to_object,
)
from mlflow_dvc_plugin.lineage.recorded_states import Entries
from mlflow_dvc_plugin.lineage.search.hash_prefixes import HashPrefixes
from mlflow_dvc_plugin.lineage.workspace import read_state
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import Members, Obj, parse_listing


class Occurrence(NamedTuple):
    """Where one of the hashes that are looked for occurs.

    Attributes:
        wanted: the hash, or its first digits, as it is looked for.
        hash: the whole hash at the path.
        out: the out that the path is, or is in.
    """

    wanted: str
    path: str
    hash: str
    out: Entry


class HashLookup:
    """Finds the paths that have one of some hashes: outs, and files in tracked folders.

    Attributes:
        unsearched: what else was not searched, and why.
        files: the files with one of the hashes, by the hash of the folder that they are in.
    """

    def __init__(self, values: Iterable[str], dvc: DvcProject | None) -> None:
        self._wanted = HashPrefixes(values)
        self._dvc = dvc
        self.files: dict[str, Members] = {}
        self._folders: set[Obj] = set()
        self._damaged: set[Obj] = set()
        # Runs of the same state share its tuple. It is kept here so that its id stays its own.
        self._paths: dict[int, tuple[Entries, list[Occurrence]]] = {}
        self._unread: dict[str, str] = {}
        self.unsearched: dict[str, str] = {}

    @property
    def listings(self) -> int | None:
        """How many listings of folders were searched; None if that was not possible, or needed."""
        if self._dvc is None or not self._wanted.has_files:
            return None
        return len(self._folders) - len(self._unread)

    @property
    def unread(self) -> dict[str, str]:
        """Folders whose listings cannot be read, and why."""
        damaged = {obj.value for obj in self._damaged - self._folders}
        return {**self._unread, **dict.fromkeys(sorted(damaged), "its listing is damaged")}

    def find_folders(self, progress: Progress) -> Mapping[str, Sequence[str]]:
        """The hashes of the folders that each of the hashes occurs in.

        All listings in the cache and in the remotes of the project's outs are searched.
        """
        if self._dvc is None:
            self.unsearched["Files in tracked folders"] = "this is not a DVC project"
        elif self._wanted.has_files:
            self.search_place(self._dvc.storage.cache, progress)
            for remote in _find_remotes(self._dvc):
                self._search_remote(self._dvc.storage, remote, progress)
        found: dict[str, list[str]] = {value: [] for value in self._wanted.values}
        for folder, files in self.files.items():
            for value in {value for each in files.values() for value in self._wanted.match(each)}:
                found[value].append(folder)
        return found

    def _search_remote(self, storage: Storage, remote: str, progress: Progress) -> None:
        try:
            place = storage.open(remote)
        except DvcError as err:
            self.unsearched[f"Folders that only the remote {remote} has"] = str(err)
        else:
            self.search_place(place, progress)

    def search_place(self, place: Place, progress: Progress) -> None:
        """Search all listings of folders that a place has."""
        try:
            self._search_listings(place, progress)
        except EmptyRemoteError:
            pass  # nothing was pushed yet
        except DvcError as err:
            self.unsearched[f"Folders that only {place.describe()} has"] = str(err)

    def _search_listings(self, place: Place, progress: Progress) -> None:
        progress.begin(f"Looking for folders in {place.describe()}", 0)
        new = [obj for obj in place.list_folders() if obj not in self._folders]
        progress.begin(f"Searching the listings of folders in {place.describe()}", len(new))
        for obj, data in place.read(new):
            self._folders.add(obj)
            if self._wanted.occur_in(data):
                self._add_files(obj, parse_listing(data) or {})
            progress.advance(files=1)
        self._damaged.update(obj for obj in new if obj not in self._folders)

    def read_folders(self, states: Iterable[Entries]) -> None:
        """Read the listings of the states' folders; those that were read before are skipped."""
        if not self._wanted.has_files:
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
                self._unread[f"{new[obj].path} ({obj.value})"] = reason
            else:
                self._add_files(obj, members)

    def _add_files(self, folder: Obj, members: Members) -> None:
        files = {name: members[name] for name in sorted(members)}
        matches = {name: each for name, each in files.items() if any(self._wanted.match(each))}
        if matches:
            self.files[folder.value] = matches

    def find_paths(self, entries: Entries) -> list[Occurrence]:
        """The paths with one of the hashes in a state whose folders were read."""
        key = id(entries)
        if key not in self._paths:
            self._paths[key] = entries, list(self._iterate_paths(entries))
        return self._paths[key][1]

    def _iterate_paths(self, entries: Entries) -> Iterator[Occurrence]:
        for e in entries:
            own = {"": str(e.hash)}
            for name, found in {**own, **self.files.get(str(e.hash), {})}.items():
                for value in self._wanted.match(found):
                    path = posixpath.join(e.path, name) if name else e.path
                    yield Occurrence(value, path, found, e)


def _find_remotes(dvc: DvcProject) -> list[str]:
    """The default remote, and those that outs of the project name."""
    try:
        named = {e.remote for e in read_state(dvc.root).entries}
    except MlflowDvcError:
        named = set()
    known = {dvc.remotes.find_default(), *named} & {*dvc.storage.remotes}
    return [name for name in dvc.storage.remotes if name in known]
