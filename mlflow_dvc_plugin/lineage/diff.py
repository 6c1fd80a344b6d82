"""What changed in the data from one state to another, down to single files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.lineage import listings
from mlflow_dvc_plugin.lineage.listings import obj_of
from mlflow_dvc_plugin.lineage.workspace import opened, root_of, state_now
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import Obj
from mlflow_dvc_plugin.tracking import Run


@dataclass(frozen=True)
class Item:
    """A path whose data differs.

    Attributes:
        path: relative to the project.
        old: its hash before; None if it was not there.
        new: its hash after; None if it is not there.
        files: the files that differ, where they were looked at and are known.
    """

    path: str
    old: str | None
    new: str | None
    files: Diff | None = None

    def to_dict(self, files: bool) -> dict[str, Any]:
        """As ``--json`` prints it."""
        item: dict[str, Any] = {"path": self.path, "old": self.old, "new": self.new}
        if files:
            item["files"] = self.files.to_dict() if self.files else None
        return item


@dataclass(frozen=True)
class Diff:
    """What differs between two states.

    Attributes:
        added: what only the second has.
        removed: what only the first has.
        modified: what both have, with other data.
        unknown: paths of which it cannot be known, and why.
    """

    added: list[Item] = field(default_factory=list)
    removed: list[Item] = field(default_factory=list)
    modified: list[Item] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)

    @property
    def items(self) -> list[Item]:
        """All items: those added, removed and modified."""
        return [*self.added, *self.removed, *self.modified]

    def to_dict(self, files: bool = False) -> dict[str, Any]:
        """As ``--json`` prints it."""
        groups = {"added": self.added, "removed": self.removed, "modified": self.modified}
        document: dict[str, Any] = {
            name: [item.to_dict(files) for item in items] for name, items in groups.items()
        }
        if self.unknown:
            document["unknown"] = self.unknown
        return document


def diff(
    a: str | Run | DataState,
    b: str | Run | DataState | None = None,
    *,
    files: bool = False,
    tracking_uri: str | None = None,
    project: str | None = None,
) -> Diff:
    """What changed in the data from `a` to `b`.

    Args:
        a: a state, a run, or what :func:`~mlflow_dvc_plugin.tracking.find_run` takes.
        b: the same; None for the workspace as its metafiles say it is.
        files: look inside folders, by their listings in the cache or the
            remote. No data is downloaded.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.

    Raises:
        MlflowDvcError: a state cannot be read.
    """
    root = root_of(project) if b is None or project else find_project()
    old = a if isinstance(a, DataState) else load_state(a, tracking_uri, root)
    if b is None:
        assert root is not None
        new = state_now(root)
    else:
        new = b if isinstance(b, DataState) else load_state(b, tracking_uri, root)
    found = compare(old, new)
    if not files:
        return found
    with opened(root) as dvc:
        paths = {item.path for item in found.items}
        involved = [e for e in (*old.entries, *new.entries) if e.hash and e.path in paths]
        read = {obj: (members, reason) for obj, members, reason in listings.read(dvc, involved)}
    return with_files(found, old.entries, new.entries, read)


def compare(old: DataState, new: DataState) -> Diff:
    """What differs, out by out; only what DVC caches is compared.

    A run in a stage did not record that stage's outs, nor what follows from
    them: whether the other state has them besides is not known, and is said.
    """
    before, after = _by_path(old), _by_path(new)
    found = Diff()
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one is None and other is not None:
            if _unrecorded(other, new, old):
                found.unknown[path] = f"a run in stage {old.stage} does not record what stages make"
            else:
                found.added.append(Item(path, None, other.hash))
        elif other is None and one is not None:
            if _unrecorded(one, old, new):
                found.unknown[path] = f"a run in stage {new.stage} does not record what stages make"
            else:
                found.removed.append(Item(path, one.hash, None))
        elif one is not None and other is not None:
            if one.hash_name != other.hash_name:
                found.unknown[path] = (
                    f"recorded by different kinds of hash, {one.hash_name} and {other.hash_name}"
                )
            elif one.hash != other.hash:
                found.modified.append(Item(path, one.hash, other.hash))
    return found


def with_files(
    found: Diff,
    old: Iterable[Entry],
    new: Iterable[Entry],
    read: Mapping[Obj, tuple[listings.Members | None, str]],
) -> Diff:
    """The same, with what differs inside each item.

    Args:
        found: what :func:`compare` says.
        old: the outs before.
        new: the outs after.
        read: the listings of folders, or why they are not known.
    """
    before, after = {e.path: e for e in old}, {e.path: e for e in new}
    unknown = dict(found.unknown)

    def opened_up(item: Item) -> Item:
        sides: list[dict[str, str]] = []
        for entry, value in ((before.get(item.path), item.old), (after.get(item.path), item.new)):
            files, reason = _files(entry, read) if entry and value else ({}, "")
            if files is None:
                unknown[item.path] = reason
                return item
            sides.append(files)
        return Item(item.path, item.old, item.new, _compare_files(*sides))

    return Diff(
        added=[opened_up(item) for item in found.added],
        removed=[opened_up(item) for item in found.removed],
        modified=[opened_up(item) for item in found.modified],
        unknown=unknown,
    )


def _files(
    entry: Entry, read: Mapping[Obj, tuple[listings.Members | None, str]]
) -> tuple[dict[str, str] | None, str]:
    """The hashes of an out's files by their paths; None, and why, if they are not known."""
    obj = obj_of(entry)
    if not listings.is_folder(obj):
        return {entry.path: obj.value}, ""
    members, reason = read.get(obj, (None, listings.NOWHERE))
    if members is None:
        return None, reason
    return {posixpath.join(entry.path, name): value for name, value in members.items()}, ""


def _compare_files(old: Mapping[str, str], new: Mapping[str, str]) -> Diff:
    return Diff(
        added=[Item(path, None, new[path]) for path in sorted(new.keys() - old.keys())],
        removed=[Item(path, old[path], None) for path in sorted(old.keys() - new.keys())],
        modified=[
            Item(path, old[path], new[path])
            for path in sorted(old.keys() & new.keys())
            if old[path] != new[path]
        ],
    )


def _by_path(state: DataState) -> dict[str, Entry]:
    return {e.path: e for e in state.entries if e.cached and e.hash}


def _unrecorded(entry: Entry, has: DataState, lacks: DataState) -> bool:
    """Could the state that lacks an out have had it, and not recorded it?"""
    return lacks.stage is not None and lacks.stage != has.stage and entry.stage is not None
