"""What has to change in the workspace: a pure comparison of wanted and present."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from mlflow_dvc_plugin.state.objects import Obj


class Change(NamedTuple):
    """One file that has to change.

    Attributes:
        path: POSIX, relative to the project (or to ``--out``).
        old: what is there; None for nothing.
        new: what has to be there; None for nothing.
        seen: the stamp of what is there; None for nothing.
    """

    path: str
    old: Obj | None
    new: Obj | None
    seen: int | None


class Plan(NamedTuple):
    """Everything that has to change, and how much does not.

    Attributes:
        changes: in the order of their paths.
        unchanged: how many files are as they have to be.
        times: when each file in a folder of the plan's was modified, in seconds
            since the epoch, by path.
    """

    changes: list[Change]
    unchanged: int
    times: Mapping[str, float] = MappingProxyType({})

    def outs(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """Sort outs by what happens to them.

        Args:
            paths: the outs' own paths.

        Returns:
            The keys ``added``, ``modified``, ``deleted`` and ``unchanged``,
            each with the paths of outs.
        """
        ordered = sorted(paths)
        kinds: dict[str, set[tuple[bool, bool]]] = {path: set() for path in ordered}
        for change in self.changes:
            out = _owner(change.path, kinds)
            if out is not None:
                kinds[out].add((change.old is None, change.new is None))
        result: dict[str, list[str]] = {"added": [], "modified": [], "deleted": [], "unchanged": []}
        for path, found in kinds.items():
            result[_verdict(found)].append(path)
        return result


class Comparison:
    """Finds out what turns what is there into what is wanted, one file after the other.

    Args:
        wanted: the file that each path must hold, None for none.
    """

    def __init__(self, wanted: Mapping[str, Obj | None]) -> None:
        self._wanted = wanted
        self._unseen = set(wanted)
        self._changes: list[Change] = []
        self._unchanged = 0

    def saw(self, path: str, found: Obj, seen: int | None) -> None:
        """A file is there; one that is not wanted has to go."""
        self._unseen.discard(path)
        new = self._wanted.get(path)
        if new == found:
            self._unchanged += 1
        else:
            self._changes.append(Change(path, found, new, seen))

    def plan(self) -> Plan:
        """What has to change, now that everything that is there was seen."""
        unseen = ((path, self._wanted[path]) for path in self._unseen)
        absent = [Change(path, None, new, None) for path, new in unseen if new is not None]
        changes = sorted(self._changes + absent, key=lambda change: change.path)
        return Plan(changes, self._unchanged)


def _owner(path: str, outs: Mapping[str, object]) -> str | None:
    """The out that a file belongs to: itself, or the nearest folder above it."""
    while path not in outs:
        path = path.rpartition("/")[0]
        if not path:
            return None
    return path


def _verdict(found: set[tuple[bool, bool]]) -> str:
    if not found:
        return "unchanged"
    if found == {(True, False)}:
        return "added"
    if found == {(False, True)}:
        return "deleted"
    return "modified"
