"""What has to change in the workspace: a pure comparison of wanted and present."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mlflow_dvc_plugin.objects import Obj


class Change(NamedTuple):
    """One file that has to change.

    Attributes:
        path: POSIX, relative to the project (or to ``--out``).
        old: what is there; None for nothing.
        new: what has to be there; None for nothing.
    """

    path: str
    old: Obj | None
    new: Obj | None


class Plan(NamedTuple):
    """Everything that has to change, and how much does not."""

    changes: list[Change]
    unchanged: int

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


def compare(wanted: Mapping[str, Obj | None], present: Mapping[str, Obj]) -> Plan:
    """What turns `present` into `wanted`.

    Args:
        wanted: the file that each path must hold, None for none.
        present: the files that are there; one that is not wanted has to go.
    """
    changes = [
        Change(path, present.get(path), new)
        for path, new in wanted.items()
        if present.get(path) != new
    ]
    changes += [Change(path, old, None) for path, old in present.items() if path not in wanted]
    unchanged = sum(1 for path, new in wanted.items() if new and present.get(path) == new)
    return Plan(sorted(changes, key=lambda change: change.path), unchanged)


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
