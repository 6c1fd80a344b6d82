"""What has a hash: outs, and folders with such a file in them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.lineage import listings
from mlflow_dvc_plugin.lineage.listings import obj_of
from mlflow_dvc_plugin.lineage.run_states import Entries
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj


class Holders:
    """What has a hash: outs themselves, and folders with such a file in them.

    Args:
        value: the hash.
        dvc: the open project; None outside one.
    """

    def __init__(self, value: str, dvc: DvcProject | None) -> None:
        self._value = value
        self._dvc = dvc
        self._inside: dict[str, list[str]] = {}
        self._seen: set[Obj] = set()
        # Runs of the same state share its tuple, which is kept so that its id is no other's.
        self._known: dict[int, tuple[Entries, list[str]]] = {}
        self.unlisted: dict[str, str] = {}

    def look_into(self, states: Iterable[Entries]) -> None:
        """Read the listings of those folders that were not seen yet."""
        if self._value.endswith(DIR_SUFFIX):
            return  # a listing names files, and never a folder
        new: dict[Obj, Entry] = {}
        for entries in states:
            if id(entries) in self._known:
                continue
            for e in entries:
                obj = obj_of(e)
                if listings.is_folder(obj) and obj not in self._seen:
                    self._seen.add(obj)
                    new[obj] = e
        for obj, members, reason in listings.read(self._dvc, new.values()):
            if members is None:
                self.unlisted[f"{new[obj].path} ({obj.value})"] = reason
            else:
                names = sorted(name for name, value in members.items() if value == self._value)
                if names:
                    self._inside[obj.value] = names

    def paths_in(self, entries: Entries) -> list[str]:
        """The paths that have the hash, in a state whose folders were looked into."""
        known = self._known.get(id(entries))
        if known is None:
            known = self._known[id(entries)] = entries, list(self._paths(entries))
        return known[1]

    def _paths(self, entries: Entries) -> Iterable[str]:
        for e in entries:
            if e.hash == self._value:
                yield e.path
            elif e.hash in self._inside:
                for name in self._inside[e.hash]:
                    yield posixpath.join(e.path, name)
