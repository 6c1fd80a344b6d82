"""The plan of a checkout: all files that have to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from mlflow_dvc_plugin.state.objects import Obj


class Change(NamedTuple):
    """One file that has to change, and the stamp of what exists; None stands for nothing."""

    path: str
    old: Obj | None
    new: Obj | None
    stamp: int | None


class Plan(NamedTuple):
    """The files that have to change, in the order of their paths.

    `times` tells when each file that exists was modified, in seconds since the epoch.
    """

    changes: list[Change]
    times: Mapping[str, float] = MappingProxyType({})

    def sort_outs(self, outs: Iterable[str], touched: Mapping[str, str]) -> dict[str, list[str]]:
        """Sort outs by what happens to them; `touched` tells it where no file changes."""
        kinds: dict[str, set[str]] = {path: set() for path in sorted(outs)}
        for change in self.changes:
            out = _find_owner(change.path, kinds)
            if out is not None:
                is_new = change.old is None
                kinds[out].add("added" if is_new else "modified" if change.new else "deleted")
        result: dict[str, list[str]] = {"added": [], "modified": [], "deleted": [], "unchanged": []}
        for path, kind in kinds.items():
            only = next(iter(kind), touched.get(path, "unchanged"))
            result["modified" if len(kind) > 1 else only].append(path)
        return result


def _find_owner(path: str, outs: Mapping[str, object]) -> str | None:
    """Find the out that a file belongs to: itself, or the nearest folder above it."""
    while path not in outs:
        path = path.rpartition("/")[0]
        if not path:
            return None
    return path
