"""Which objects of outs are in the cache and in the remotes."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError, EmptyRemoteError
from mlflow_dvc_plugin.lineage.listings import (
    NOT_FOUND,
    is_listing,
    read_listings,
    to_object,
)
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Members, Obj, parse_listing

# An object, and the name of the remote that has it: None for the default one.
_Place = tuple[Obj, str | None]


class ObjectIndex:
    """The objects of outs in the cache and in the remotes, each looked for once."""

    def __init__(
        self, dvc: DvcProject, entries: Iterable[Entry], progress: Progress | None = None
    ) -> None:
        self._dvc = dvc
        self._progress = progress or Progress()
        self._cached: set[Obj] = set()
        self._pushed: set[_Place] = set()
        self._remote_errors: dict[str | None, DvcError] = {}
        self._members: dict[Obj, Members] = {}
        self._unread: dict[Obj, str] = {}
        outs = list({(to_object(e), e.remote): e for e in entries}.values())
        self._find_in_cache({to_object(e) for e in outs})
        # No hash finds what a cloud-versioned remote has. A listing that the cache lacks is
        # read from the remote, which also tells that the remote has it.
        hashed = {e for e in outs if e.kind != "cloud-versioned"}
        places = {(to_object(e), e.remote) for e in hashed}
        first = {place for place in places if self.in_cache(place[0]) or not is_listing(place[0])}
        self._find_in_remotes(first)
        self._read_listings([e for e in outs if e in hashed or self.in_cache(to_object(e))])
        self._find_in_cache({obj for folder in self._members for obj in self._list_files(folder)})
        inside = {
            (obj, remote)
            for folder, remote in places
            if folder in self._members
            for obj in (folder, *self._list_files(folder))
        }
        self._find_in_remotes(inside - self._pushed - first)

    def find_objects(self, entry: Entry) -> dict[str, Obj]:
        """The objects of an out by path, a folder's listing under the folder's own."""
        obj = to_object(entry)
        members = self._members.get(obj, {})
        files = {
            posixpath.join(entry.path, name): Obj(obj.hash_name, value)
            for name, value in members.items()
        }
        return {entry.path: obj, **files}

    def in_cache(self, obj: Obj) -> bool:
        """The cache has all bytes of the object."""
        return obj in self._cached

    def in_remote(self, obj: Obj, remote: str | None) -> bool | None:
        """The remote has the object; None if the remote does not answer."""
        if (obj, remote) in self._pushed:
            return True
        error = self._remote_errors.get(remote)
        return False if error is None or isinstance(error, EmptyRemoteError) else None

    def find_error(self, remote: str | None) -> DvcError | None:
        """The error of a remote that does not tell what it has."""
        return self._remote_errors.get(remote)

    def explain_unread(self, entry: Entry) -> str:
        """Why the listing of a folder cannot be read; empty for a file, and if it can."""
        obj = to_object(entry)
        if not is_listing(obj) or obj in self._members:
            return ""
        return self._unread.get(obj, NOT_FOUND)

    def add_listing(self, entry: Entry, data: bytes) -> None:
        """Take the listing of a folder from elsewhere, unless it is another folder's."""
        obj = to_object(entry)
        if Obj.from_bytes(data).value + DIR_SUFFIX != obj.value:
            return
        self._members[obj] = parse_listing(data) or {}
        self._cached.add(obj)
        self._find_in_cache(self._list_files(obj))

    def _list_files(self, folder: Obj) -> set[Obj]:
        return {Obj(folder.hash_name, value) for value in self._members[folder].values()}

    def _find_in_cache(self, objs: Collection[Obj]) -> None:
        self._progress.begin("Looking into the cache", len(objs))
        self._cached |= self._dvc.cache.find_objects(objs, self._progress)

    def _find_in_remotes(self, places: Iterable[_Place]) -> None:
        by_remote: dict[str | None, list[Obj]] = {}
        for obj, remote in places:
            by_remote.setdefault(remote, []).append(obj)
        for remote, objs in by_remote.items():
            if remote in self._remote_errors or not self.is_configured(remote):
                continue
            self._progress.begin("Looking into the remote", len(objs))
            try:
                found = self._dvc.remotes.find_objects(objs, remote)
            except DvcError as err:
                self._remote_errors[remote] = err
                continue
            self._pushed.update((obj, remote) for obj in found)
            self._progress.advance(files=len(objs))

    def _read_listings(self, entries: Collection[Entry]) -> None:
        remotes: dict[Obj, set[str | None]] = {}
        for e in entries:
            if is_listing(to_object(e)):
                remotes.setdefault(to_object(e), set()).add(e.remote)
        self._progress.begin("Reading the listings of folders", len(remotes))
        for obj, members, reason, error in read_listings(self._dvc, entries):
            self._progress.advance(files=1)
            if members is None:
                self._unread[obj] = reason
                if error is not None:
                    self._remote_errors.update(
                        (remote, error) for remote in remotes[obj] if self.is_configured(remote)
                    )
                continue
            self._members[obj] = members
            if not self.in_cache(obj) and len(remotes[obj]) == 1:
                self._pushed.update((obj, remote) for remote in remotes[obj])

    def is_configured(self, remote: str | None) -> bool:
        """There is such a remote. Without a default remote, no object can be in it."""
        return remote is not None or self._dvc.remotes.find_default() is not None
