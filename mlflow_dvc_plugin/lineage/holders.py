"""What has a hash: outs, and folders with such a file in them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from mlflow_dvc_plugin.dvc import DvcProject
from mlflow_dvc_plugin.lineage import listings
from mlflow_dvc_plugin.lineage.listings import obj_of
from mlflow_dvc_plugin.lineage.states import Role
from mlflow_dvc_plugin.objects import Obj
from mlflow_dvc_plugin.state import Entry


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
        self.unlisted: dict[str, str] = {}

    def look_into(self, entries: Iterable[Entry]) -> None:
        """Read the listings of those folders that were not seen yet."""
        new: dict[Obj, Entry] = {}
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

    def matches(self, entries: Iterable[Entry], role: Role) -> Iterator[tuple[str, str, Role]]:
        """The paths that have the hash."""
        for e in entries:
            if e.hash == self._value:
                yield e.path, self._value, role
            elif e.hash in self._inside:
                for name in self._inside[e.hash]:
                    yield posixpath.join(e.path, name), self._value, role
