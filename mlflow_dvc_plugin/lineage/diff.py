"""What differs between the data of two states, down to single files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.lineage.listings import (
    NOT_FOUND,
    Listing,
    is_listing,
    read_listings,
    to_object,
)
from mlflow_dvc_plugin.lineage.observation import Observation, observe_workspace
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import Obj
from mlflow_dvc_plugin.tracking import Run


@dataclass(frozen=True)
class Item:
    """A path whose data differs; a hash is None where the path does not exist."""

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
        unknown: paths that cannot be compared, and why.
        unverified: paths whose data in the workspace was not looked at, and why:
            they are compared by what their metafiles say.
    """

    added: list[Item] = field(default_factory=list)
    removed: list[Item] = field(default_factory=list)
    modified: list[Item] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    unverified: dict[str, str] = field(default_factory=dict)

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
        remarks = {"unknown": self.unknown, "unverified": self.unverified}
        return {**document, **{name: paths for name, paths in remarks.items() if paths}}


def diff(
    a: str | Run | DataState,
    b: str | Run | DataState | None = None,
    *,
    files: bool = False,
    tracking_uri: str | None = None,
    project: str | None = None,
    progress: Progress | None = None,
) -> Diff:
    """What differs between the data of `a` and that of `b`.

    Args:
        a: a state, a run, or text that :func:`~mlflow_dvc_plugin.tracking.find_run` accepts.
        b: the same; None for the data that is in the workspace now.
        files: compare the files in folders too, by listings; no data is downloaded.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.
        progress: counts files.

    Raises:
        MlflowDvcError: a state cannot be read.
    """
    root = find_root(project) if b is None or project else find_project()
    old = a if isinstance(a, DataState) else load_state(a, tracking_uri, root)
    if b is None:
        others = [e for e in old.entries if not e.metafile]
        observation = observe_workspace(find_root(project), progress or Progress(), others)
    else:
        new = b if isinstance(b, DataState) else load_state(b, tracking_uri, root)
        observation = Observation(new)
    new = observation.state
    found = replace(compare_states(old, new), unverified=dict(observation.unverified))
    if not files:
        return found
    paths = {item.path for item in found.items}
    listings = dict(observation.listings)
    outs = [e for e in (*old.entries, *new.entries) if e.hash and e.path in paths]
    unread = [e for e in outs if to_object(e) not in listings]
    with closing(DvcProject(root)) if root else nullcontext() as dvc:
        listings.update((listing.obj, listing) for listing in read_listings(dvc, unread))
    return compare_files(found, old, new, listings)


def compare_states(old: DataState, new: DataState) -> Diff:
    """What differs, out by out; only what DVC caches is compared.

    Two kinds of outs cannot be compared. A run in a stage does not record the outs of
    that stage, nor those that depend on them. And no place has the data of outs that
    were modified when a run started, and not saved.
    """
    before, after = _find_cached(old), _find_cached(new)
    modified = {p for state in (old, new) if state.status == "modified" for p in state.modified}
    found = Diff()
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        item = Item(path, one and one.hash, other and other.hash)
        if path in modified:
            found.unknown[path] = "it was modified when the run started, and was not saved"
        elif one is None or other is None:
            has, lacks = (new, old) if one is None else (old, new)
            if lacks.stage not in (None, has.stage) and (one or other).stage is not None:  # type: ignore[union-attr]
                reason = f"a run in stage {lacks.stage} does not record what stages make"
                found.unknown[path] = reason
            else:
                (found.added if one is None else found.removed).append(item)
        elif one.hash_name != other.hash_name:
            found.unknown[path] = (
                f"its hashes are of different kinds, {one.hash_name} and {other.hash_name}"
            )
        elif one.hash != other.hash:
            found.modified.append(item)
    return found


def compare_files(
    found: Diff, old: DataState, new: DataState, listings: Mapping[Obj, Listing]
) -> Diff:
    """What :func:`compare_states` found, with the files that differ in each item."""
    before, after = _find_cached(old), _find_cached(new)
    unknown = dict(found.unknown)

    def list_files(entry: Entry | None) -> dict[str, str]:
        """The hashes of an out's files by path."""
        if entry is None:
            return {}
        obj = to_object(entry)
        if not is_listing(obj):
            return {entry.path: obj.value}
        _, members, reason, _ = listings.get(obj, Listing(obj, None, NOT_FOUND))
        if members is None:
            raise LookupError(reason)
        return {posixpath.join(entry.path, name): value for name, value in members.items()}

    def add_files(item: Item) -> Item:
        try:
            sides = list_files(before.get(item.path)), list_files(after.get(item.path))
        except LookupError as err:
            unknown[item.path] = str(err)
            return item
        return replace(item, files=_compare_hashes(*sides))

    return replace(
        found,
        added=[add_files(item) for item in found.added],
        removed=[add_files(item) for item in found.removed],
        modified=[add_files(item) for item in found.modified],
        unknown=unknown,
    )


def _compare_hashes(old: Mapping[str, str], new: Mapping[str, str]) -> Diff:
    found = Diff()
    for path in sorted(old.keys() | new.keys()):
        item = Item(path, old.get(path), new.get(path))
        if item.old is None:
            found.added.append(item)
        elif item.new is None:
            found.removed.append(item)
        elif item.old != item.new:
            found.modified.append(item)
    return found


def _find_cached(state: DataState) -> dict[str, Entry]:
    return {e.path: e for e in state.entries if e.cached and e.hash}
