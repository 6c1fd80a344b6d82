"""The steps of a checkout: everything that it does, decided before anything is written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from mlflow_dvc_plugin.errors import RestoreError, UnsavedContentError, join_some
from mlflow_dvc_plugin.restoring.files.contents import Contents, check_symlinks, read_file
from mlflow_dvc_plugin.restoring.files.permissions import ModeChange, find_changes
from mlflow_dvc_plugin.restoring.files.symlinks import is_symlink
from mlflow_dvc_plugin.restoring.plan.backups import Backups, find_backups
from mlflow_dvc_plugin.restoring.plan.scan import Change, Scanner
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.restoring.run_data.listings import Target
from mlflow_dvc_plugin.state.entry import find_owner


class Steps(NamedTuple):
    """Everything that a checkout does, decided before anything is written.

    Attributes:
        changed: the paths of the data files that have to change.
        times: when each data file that exists was modified, in seconds since the epoch.
        metafiles: those that have to change, and files in Git.
        old_contents: what these hold now.
        new_modes: the permissions that have to change, of files that exist.
        new_folders: the outs that are folders and do not exist yet.
    """

    target: Target
    changes: list[Change]
    changed: frozenset[str]
    times: Mapping[str, float]
    backups: Backups
    metafiles: Contents
    old_contents: Contents
    modes: Mapping[str, ModeChange]
    new_modes: Mapping[str, int]
    new_folders: list[str]

    def sort_outs(self) -> dict[str, list[str]]:
        """Sort the outs by what happens to them; new folders and permissions count, too."""
        touched = dict.fromkeys(self.new_modes, "modified")
        touched.update(dict.fromkeys(self.new_folders, "added"))
        kinds: dict[str, set[str]] = {path: set() for path in sorted(self.target.outs)}
        for change in self.changes:
            out = find_owner(change.path, kinds)
            if out is not None:
                is_new = change.old is None
                kinds[out].add("added" if is_new else "modified" if change.new else "deleted")
        result: dict[str, list[str]] = {"added": [], "modified": [], "deleted": [], "unchanged": []}
        for path, kind in kinds.items():
            if not kind and path in self.target.forgotten:
                continue
            only = next(iter(kind), touched.get(path, "unchanged"))
            result["modified" if len(kind) > 1 else only].append(path)
        return result


def plan_steps(fetcher: Fetcher, root: str, target: Target) -> Steps:
    """Plan a checkout, and bring every object that it needs into the cache.

    A dry run fetches nothing, and only checks that the objects are available.
    """
    check_symlinks(root, target.metafiles)
    present = {path: read_file(os.path.join(root, path)) for path in target.metafiles}
    target, changes, times = _scan_and_fetch(fetcher, root, target)
    metafiles = {p: data for p, data in target.metafiles.items() if data != present[p]}
    changed = frozenset(change.path for change in changes)
    backups = find_backups(fetcher.project, root, changes, target.modes)
    modes = {
        path: change
        for path, change in target.modes.items()
        if path in target.files and (path in changed or path not in backups.symlinks)
    }
    return Steps(
        target,
        changes,
        changed,
        times,
        backups,
        metafiles,
        old_contents={path: present[path] for path in metafiles},
        modes=modes,
        new_modes=find_changes(root, modes),
        new_folders=[f for f in target.folders if not os.path.isdir(os.path.join(root, f))],
    )


def _scan_and_fetch(
    fetcher: Fetcher, root: str, target: Target
) -> tuple[Target, list[Change], dict[str, float]]:
    dry_run, progress = fetcher.options.dry_run, fetcher.options.progress
    while True:
        progress.begin("Comparing", len(target.files))
        changes, times = Scanner(fetcher, root, target).find_changes()
        needed = {
            change.new: change.path
            for change in changes
            if change.new is not None and not is_symlink(change.new)
        }
        if dry_run:
            fetcher.check_available(needed)
        # Users may go on working during a download, so compare again after one.
        has_fetched = not dry_run and fetcher.fetch(needed)
        absent = [change.path for change in changes if change.new in fetcher.skipped]
        if absent:
            files = {**target.files, **dict.fromkeys(absent)}
            target = target._replace(files=files, forgotten=(*target.forgotten, *absent))
        elif not has_fetched:
            return target, changes, times


def find_conflicts(
    steps: Steps, root: str, *, in_project: bool, force: bool
) -> tuple[list[str], RestoreError | None]:
    """Find the files that are in the way, and the error that refuses to replace them."""
    if in_project:
        edited = [path for path in steps.target.unsaved if path in steps.metafiles]
        paths = sorted({*steps.backups.unsaved, *edited})
        return paths, UnsavedContentError(paths) if paths and not force else None
    paths = [change.path for change in steps.changes if change.old is not None]
    foreign = [path for path in paths if steps.target.files.get(path) is None]
    if foreign:
        return paths, RestoreError(
            f"{root} has files that the run did not have: {join_some(foreign, 10)}. Nothing was "
            "changed. Name another folder."
        )
    if paths and not force:
        return paths, RestoreError(
            f"{root} has other content in {join_some(paths, 10)}. Nothing was changed. Name "
            "another folder, or use --force to save that content in the cache first."
        )
    return paths, None
