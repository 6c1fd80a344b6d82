"""Tell which of a run's objects were deleted on purpose from those that are lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.forgotten_tag import NOTHING_FORGOTTEN, Forgotten
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj, parse_listing

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject


class ForgottenData:
    """What was deleted of a run on purpose.

    The run's tag has only a number. So an object counts as forgotten if it is nowhere,
    and if no more of the run's objects are nowhere than were forgotten.

    `entries` are all outs of the run, and not only those that are restored.
    """

    def __init__(
        self, forgotten: Forgotten = NOTHING_FORGOTTEN, entries: Sequence[Entry] = ()
    ) -> None:
        self.forgotten = forgotten
        self._entries = entries
        self._lost: frozenset[Obj] | None = None

    def find(self, project: DvcProject, objs: Collection[Obj]) -> frozenset[Obj]:
        """Find those of the objects that were forgotten; none if that is not certain."""
        if not self.forgotten.total or not objs:
            return frozenset()
        if self._lost is None:
            self._lost = _find_lost(project, self._entries)
        if not self.forgotten.explains(len(self._lost)):
            return frozenset()
        return self._lost.intersection(objs)


def _find_lost(project: DvcProject, entries: Iterable[Entry]) -> frozenset[Obj]:
    """Find the objects of outs that are nowhere; none if a remote does not answer."""
    by_remote: dict[str | None, set[Obj]] = {}
    for e in entries:
        if e.cached and e.hash and e.kind == "plain":
            by_remote.setdefault(e.remote, set()).add(Obj(e.hash_name, e.hash))
    lost: set[Obj] = set()
    for remote, objs in by_remote.items():
        is_configured = remote is not None or project.remotes.find_default() is not None
        try:
            absent = project.cache.find_missing(objs | _list_members(project, objs, remote))
            found = project.remotes.find_objects(absent, remote) if is_configured else set()
        except DvcError:
            return frozenset()
        lost |= absent - found
    return frozenset(lost)


def _list_members(project: DvcProject, objs: Iterable[Obj], remote: str | None) -> set[Obj]:
    """List the objects in all listings that can be had."""
    listings = [obj for obj in objs if obj.value.endswith(DIR_SUFFIX)]
    if remote is None and project.remotes.find_default() is None:
        missing = project.cache.find_missing(listings)
        listings = [obj for obj in listings if obj not in missing]
    read = project.remotes.read_objects(listings, remote)
    return {
        Obj(obj.hash_name, value)
        for obj, data in read
        for value in (parse_listing(data) or {}).values()
    }
