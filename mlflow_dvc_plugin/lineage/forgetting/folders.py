"""The folders whose listings name the objects that are to be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.dvc.storage import Place
from mlflow_dvc_plugin.lineage.forgetting.targets import Targets
from mlflow_dvc_plugin.lineage.listings import parse_listing, read_listings, to_object
from mlflow_dvc_plugin.lineage.result import Result
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

_MD5 = re.compile(rb"[0-9a-f]{32}")


@dataclass(frozen=True)
class Folder(Result):
    """A folder whose listing names some of the objects.

    Attributes:
        hash: that of the folder.
        files: the hashes of these objects, by path relative to the folder.
        cache: the cache has the listing.
        remotes: the remotes that have it.
    """

    hash: str
    files: dict[str, str]
    cache: bool = False
    remotes: list[str] = field(default_factory=list)


class FolderIndex:
    """The folders that contain the objects, by the listings that can be read.

    Attributes:
        found: the folders, by hash.
        counts: how many files there are in those folders that are to be forgotten themselves.
        unread: folders whose listings cannot be read, and why.
    """

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._digests = {value.encode() for value in targets.hashes}
        self._read: set[str] = set()
        self.found: dict[str, Folder] = {}
        self.counts: dict[str, int] = {}
        self.unread: dict[str, str] = {}

    def add_place(self, place: Place, progress: Progress) -> None:
        """Read all listings that a place has; a DvcError if it does not tell."""
        progress.begin(f"Looking for folders in {place.describe()}", 0)
        listed = place.list_folders()
        new = [obj for obj in listed if obj.value not in self._read]
        progress.begin(f"Reading the listings of folders in {place.describe()}", len(new))
        for obj, data in place.read(new):
            self._add(obj, data)
            progress.advance(files=1)
        for obj in listed:
            folder = self.found.get(obj.value)
            if folder and place.remote and place.remote not in folder.remotes:
                folder.remotes.append(place.remote)
            elif folder and not place.remote:
                self.found[obj.value] = Folder(folder.hash, folder.files, True, folder.remotes)

    def add_outs(self, dvc: DvcProject, entries: Iterable[Entry]) -> None:
        """Read the listings of outs that no place listed, from where the outs themselves say."""
        rest = {to_object(e): e for e in entries if not self.knows(str(e.hash))}
        for obj, members, reason, _ in read_listings(dvc, rest.values()):
            if members is None:
                self.unread[f"{rest[obj].path} ({obj.value})"] = reason
            else:
                self._add_members(obj, members)

    def knows(self, value: str) -> bool:
        """Is a hash that of a file, or of a folder whose listing was read?"""
        return not value.endswith(DIR_SUFFIX) or value in self._read

    def find_files(self, value: str) -> Mapping[str, str]:
        """The objects that are in the folder with a hash, by path relative to the folder."""
        folder = self.found.get(value)
        return folder.files if folder else {}

    def _add(self, obj: Obj, data: bytes) -> None:
        # To search a listing for hashes is much faster than to parse it.
        is_target = self._targets.has(obj.value)
        if not is_target and self._digests.isdisjoint(_MD5.findall(data)):
            self._read.add(obj.value)
            return
        members = parse_listing(data)
        if members is not None:
            self._add_members(obj, members)

    def _add_members(self, obj: Obj, members: Mapping[str, str]) -> None:
        self._read.add(obj.value)
        if self._targets.has(obj.value):
            self.counts[obj.value] = len(members)
        files = {name: value for name, value in sorted(members.items()) if self._targets.has(value)}
        if files:
            self.found[obj.value] = Folder(obj.value, files)
