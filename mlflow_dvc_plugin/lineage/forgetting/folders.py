"""The folders whose listings name the objects that are to be forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlflow_dvc_plugin.dvc.hashing import HASH_NAMES
from mlflow_dvc_plugin.dvc.storage import Place
from mlflow_dvc_plugin.lineage.forgetting.places import PlaceSearch
from mlflow_dvc_plugin.lineage.listings import is_listing
from mlflow_dvc_plugin.lineage.result import Result
from mlflow_dvc_plugin.state.objects import Members, Obj, parse_listing


@dataclass
class Folder(Result):
    """A folder whose listing names some of the objects.

    Attributes:
        hash: that of the folder.
        files: the hashes of these objects, by path relative to the folder.
        cache: the cache has the listing.
        remotes: the remotes that have it.
    """

    hash: str
    files: Members
    cache: bool = False
    remotes: list[str] = field(default_factory=list)


def find_folders(files: Mapping[str, Members], places: Iterable[Place]) -> list[Folder]:
    """The folders with such files, by the folder's hash, and where their listings are."""
    folders = {value: Folder(value, files[value]) for value in sorted(files)}
    objs = [Obj(name, value) for value in folders for name in HASH_NAMES]
    for place in places:
        for value in {obj.value for obj in place.find(objs)}:
            if place.remote:
                folders[value].remotes.append(place.remote)
            else:
                folders[value].cache = True
    return list(folders.values())


def count_files(search: PlaceSearch) -> dict[str, int]:
    """How many files there are in each of the objects that is the listing of a folder."""
    return {
        obj.value: len(parse_listing(data) or {})
        for place, found in search.found.items()
        for obj, data in place.read([obj for obj in found if is_listing(obj)])
    }
