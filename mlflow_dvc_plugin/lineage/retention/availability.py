"""Where objects are: in the cache, in a remote, nowhere, or not to be known."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.lineage import listings
from mlflow_dvc_plugin.lineage.listings import Members, is_folder, obj_of
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

# An object, and the name of the remote that has it: None for the default one.
Place = tuple[Obj, str | None]


class Whereabouts(NamedTuple):
    """Where the data of one out is.

    Attributes:
        cache: all of it is in the cache.
        remote: all of it is in the remote; None if that cannot be known.
        lost: its files that are in neither.
        unknown: why some of it may or may not be lost; empty if it is known.
        source: the place that it was imported from has it, which cache and
            remote have not.
    """

    cache: bool
    remote: bool | None
    lost: tuple[str, ...] = ()
    unknown: str = ""
    source: bool = False


class Stock:
    """Takes stock of the objects of outs, each asked for once.

    Args:
        dvc: the open project.
        entries: outs with hashes.
        progress: hears of objects.
    """

    def __init__(
        self, dvc: DvcProject, entries: Iterable[Entry], progress: Progress | None = None
    ) -> None:
        self._dvc = dvc
        self._progress = progress or Progress()
        self._cached: set[Obj] = set()
        self._pushed: set[Place] = set()
        self._silent: dict[str | None, str] = {}
        self._unread: dict[Obj, str] = {}
        self._members: dict[Obj, Members] = {}
        self._elsewhere: dict[tuple[str, Obj, str | None], list[str] | DvcError] = {}
        tops = {(obj_of(e), e.remote): e for e in entries}
        self._look_up(tops.values())

    def members(self, entry: Entry) -> Members | None:
        """The hashes of a folder's files by relative path; None if they are not known."""
        return self._members.get(obj_of(entry))

    def objects(self, entry: Entry) -> dict[str, Obj]:
        """The objects of an out by path, a folder's listing under the folder's own."""
        obj = obj_of(entry)
        members = self._members.get(obj, {})
        inside = {
            posixpath.join(entry.path, name): Obj(obj.hash_name, value)
            for name, value in members.items()
        }
        return {entry.path: obj, **inside}

    def cached(self, obj: Obj) -> bool:
        """The cache has it, whole."""
        return obj in self._cached

    def pushed(self, obj: Obj, remote: str | None) -> bool | None:
        """The remote has it; None if the remote did not answer."""
        if (obj, remote) in self._pushed:
            return True
        return None if remote in self._silent else False

    def silence(self, remote: str | None) -> str:
        """Why a remote cannot be asked; empty if it can."""
        return self._silent.get(remote, "")

    def of(self, entry: Entry, commit: str | None = None) -> Whereabouts:
        """Where an out is; what is an import, or cloud-versioned, is also asked for at its source.

        Args:
            entry: the out.
            commit: whose metafile says where it comes from, where the
                workspace's is of another version.
        """
        versioned = entry.kind == "cloud-versioned"
        if versioned:
            self._list(entry, commit)
        found = self.stored(entry)
        if not found.lost or entry.kind == "plain":
            return found
        gone: tuple[str, ...] = ()
        for rev in dict.fromkeys((None, commit)):
            lost = self._lost(entry, rev)
            if not isinstance(lost, DvcError):
                paths = [posixpath.join(entry.path, name).rstrip("/") for name in lost]
                gone = tuple(p for p in paths if p in found.lost or found.lost == (entry.path,))
                if not gone:
                    remote = (versioned and not lost) or found.remote
                    return found._replace(lost=(), remote=remote, source=not versioned)
        if gone:
            return found._replace(lost=gone)
        why = f"it is not known whether its source has it: {lost}"
        return found._replace(lost=(), remote=None if versioned else found.remote, unknown=why)

    def _list(self, entry: Entry, commit: str | None) -> None:
        """Take a folder's listing from its metafile, which has it, where the cache does not."""
        obj = obj_of(entry)
        for rev in dict.fromkeys((None, commit)):
            if obj in self._members or not is_folder(obj):
                return
            try:
                data = self._dvc.outs.read_listing(entry.path, rev)
            except DvcError:
                continue
            if data is not None and Obj.from_bytes(data).value + DIR_SUFFIX == obj.value:
                members = listings.parse(data) or {}
                self._members[obj] = members
                files = [Obj(obj.hash_name, value) for value in members.values()]
                self._cached |= {obj, *self._dvc.cache.find_objects(files)}

    def _lost(self, entry: Entry, commit: str | None) -> list[str] | DvcError:
        key = (entry.path, obj_of(entry), commit)
        if key not in self._elsewhere:
            self._progress.begin("Asking where it was imported from", 0)
            try:
                self._elsewhere[key] = self._dvc.sources.find_missing(
                    entry.path, obj_of(entry), commit
                )
            except DvcError as err:
                self._elsewhere[key] = err
        return self._elsewhere[key]

    def stored(self, entry: Entry) -> Whereabouts:
        """Where an out is, as far as cache and remote go."""
        obj, remote = obj_of(entry), entry.remote
        objects = self.objects(entry)
        pushed = [self.pushed(o, remote) for o in objects.values()]
        away = [p for p, o in objects.items() if not self.cached(o)]
        lost = [p for p in away if self.pushed(objects[p], remote) is False]
        unknown = ""
        if len(lost) < len(away) and remote in self._silent:
            unknown = f"the remote cannot be asked: {self._silent[remote]}"
        in_remote = False if False in pushed else None if None in pushed else True
        listed = obj in self._members or not is_folder(obj)
        if not listed:
            in_remote = in_remote and None
            if not lost and not unknown:
                unknown = self._unread.get(obj, listings.NOWHERE)
        cache = not away and listed
        return Whereabouts(cache, in_remote, tuple(lost), unknown)

    # -- looking up --------------------------------------------------------

    def _look_up(self, tops: Iterable[Entry]) -> None:
        tops = list(tops)
        objs = {obj_of(e) for e in tops}
        self._progress.begin("Looking into the cache", len(objs))
        self._cached = self._dvc.cache.find_objects(objs, self._progress)
        # A listing that the cache lacks is read from the remote, which also tells it is there.
        # No hash finds what a cloud-versioned remote has.
        hashed = {e for e in tops if e.kind != "cloud-versioned"}
        self._ask({(obj_of(e), e.remote) for e in hashed if self._asked_for(obj_of(e))})
        folders = [
            e for e in tops if is_folder(obj_of(e)) and (e in hashed or self.cached(obj_of(e)))
        ]
        places: set[Place] = set()
        remotes: dict[Obj, set[str | None]] = {}
        for e in folders:
            remotes.setdefault(obj_of(e), set()).update([e.remote] if e in hashed else [])
        self._progress.begin("Reading folders' listings", len(remotes))
        for obj, members, reason in listings.read(self._dvc, folders):
            self._progress.advance(files=1)
            if members is None:
                self._unread[obj] = reason
                if reason not in (listings.NOWHERE, listings.DAMAGED):
                    self._silent.update(
                        (remote, reason) for remote in remotes[obj] if self._exists(remote)
                    )
                continue
            self._members[obj] = members
            for remote in remotes[obj]:
                if not self.cached(obj):
                    self._pushed.add((obj, remote))
                places.update((Obj(obj.hash_name, value), remote) for value in members.values())
        files = {
            Obj(obj.hash_name, value)
            for obj, members in self._members.items()
            for value in members.values()
        }
        self._progress.begin("Looking into the cache", len(files))
        self._cached |= self._dvc.cache.find_objects(files, self._progress)
        self._ask(places - self._pushed)

    def _asked_for(self, obj: Obj) -> bool:
        return self.cached(obj) or not is_folder(obj)

    def _exists(self, remote: str | None) -> bool:
        """There is a remote to ask; without a default one, nothing can be in it."""
        return remote is not None or self._dvc.remotes.has_default()

    def _ask(self, places: set[Place]) -> None:
        by_remote: dict[str | None, list[Obj]] = {}
        for obj, remote in places:
            by_remote.setdefault(remote, []).append(obj)
        for remote, objs in by_remote.items():
            if remote in self._silent or not self._exists(remote):
                continue
            self._progress.begin("Asking the remote", len(objs))
            try:
                found = self._dvc.remotes.find_objects(objs, remote)
            except DvcError as err:
                self._silent[remote] = str(err)
                continue
            self._pushed.update((obj, remote) for obj in found)
            self._progress.advance(files=len(objs))
