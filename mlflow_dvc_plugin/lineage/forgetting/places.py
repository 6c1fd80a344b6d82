"""Where objects are: in the cache, and in which remotes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.dvc.storage import Place
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.lineage.forgetting.targets import Targets
from mlflow_dvc_plugin.lineage.result import Result
from mlflow_dvc_plugin.state.objects import Obj


@dataclass
class StoredObject(Result):
    """An object, and where it is.

    Attributes:
        size: bytes; None if no place on this machine has it.
        cache: the cache has it.
        remotes: the remotes that have it.
        links: how many other files on this machine are hard links to the cached object.
    """

    hash: str
    size: int | None = None
    cache: bool = False
    remotes: list[str] = field(default_factory=list)
    links: int = 0


@dataclass(frozen=True)
class PlaceSearch:
    """What a search for objects found.

    Attributes:
        found: the objects that each place has, the cache last.
        unknown: why remotes do not tell what they have.
    """

    found: Mapping[Place, Mapping[Obj, os.stat_result | None]]
    unknown: Mapping[str, DvcError]

    def list_objects(self) -> list[StoredObject]:
        """The objects that are anywhere."""
        stored: dict[str, StoredObject] = {}
        for place, found in self.found.items():
            for obj, info in found.items():
                each = stored.setdefault(obj.value, StoredObject(obj.value))
                if info is not None:
                    each.size = info.st_size
                if not place.remote:
                    each.cache = True
                    each.links += info.st_nlink - 1 if info is not None else 0
                elif place.remote not in each.remotes:
                    each.remotes = sorted([*each.remotes, place.remote])
        return [stored[value] for value in sorted(stored)]


def search_places(dvc: DvcProject, targets: Targets) -> PlaceSearch:
    """Look for objects in the cache and in all remotes, except for cloud-versioned ones."""
    objs = targets.list_objects()
    found: dict[Place, Mapping[Obj, os.stat_result | None]] = {}
    unknown: dict[str, DvcError] = {}
    for remote in dvc.storage.remotes:
        if dvc.storage.is_versioned(remote):
            continue
        try:
            place = dvc.storage.open(remote)
            found[place] = place.find(objs)
        except DvcError as err:
            unknown[remote] = err
    found[dvc.storage.cache] = dvc.storage.cache.find(objs)
    return PlaceSearch(found, unknown)
