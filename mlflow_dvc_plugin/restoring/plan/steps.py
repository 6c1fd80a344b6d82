"""The steps of a checkout: everything that it does, decided before anything is written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from mlflow_dvc_plugin.errors import RestoreError, UnsavedContentError, join_some
from mlflow_dvc_plugin.restoring.files.contents import Contents, check_symlinks, read_contents
from mlflow_dvc_plugin.restoring.files.permissions import ModeChange, find_changes
from mlflow_dvc_plugin.restoring.files.symlinks import is_symlink
from mlflow_dvc_plugin.restoring.plan.backups import Backups, find_backups
from mlflow_dvc_plugin.restoring.plan.changes import Plan
from mlflow_dvc_plugin.restoring.plan.scan import Scanner
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.restoring.run_data.target import Target


class Steps(NamedTuple):
    """Everything that a checkout does, decided before anything is written.

    Attributes:
        target: what the folder must hold.
        plan: the data files that have to change.
        changed: their paths.
        backups: what saves the content that they have now.
        metafiles: the metafiles that have to change, and files in Git.
        old_contents: what these hold now.
        modes: what must become of files' permissions.
        new_modes: the permissions that have to change, of files that exist.
        new_folders: the outs that are folders and do not exist yet.
    """

    target: Target
    plan: Plan
    changed: frozenset[str]
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
        return self.plan.sort_outs(self.target.outs, touched)


def plan_steps(fetcher: Fetcher, root: str, target: Target, *, dry_run: bool) -> Steps:
    """Plan a checkout, and bring every object that it needs into the cache.

    A dry run fetches nothing, and only checks that the objects are available.
    """
    check_symlinks(root, target.metafiles)
    present = read_contents(root, target.metafiles)
    plan = _plan_and_fetch(fetcher, root, target, dry_run)
    metafiles = {p: data for p, data in target.metafiles.items() if data != present[p]}
    changed = frozenset(change.path for change in plan.changes)
    backups = find_backups(fetcher.project, root, plan, target.modes)
    modes = {
        path: change
        for path, change in target.modes.items()
        if path in target.files and (path in changed or path not in backups.symlinks)
    }
    return Steps(
        target,
        plan,
        changed,
        backups,
        metafiles,
        old_contents={path: present[path] for path in metafiles},
        modes=modes,
        new_modes=find_changes(root, modes),
        new_folders=[f for f in target.folders if not os.path.isdir(os.path.join(root, f))],
    )


def _plan_and_fetch(fetcher: Fetcher, root: str, target: Target, dry_run: bool) -> Plan:
    progress = fetcher.progress
    while True:
        progress.begin("Comparing", len(target.files))
        scanner = Scanner(fetcher.project, root, target, clean=not dry_run, progress=progress)
        plan = scanner.make_plan()
        needed = {
            change.new: change.path
            for change in plan.changes
            if change.new is not None and not is_symlink(change.new)
        }
        if dry_run:
            fetcher.check_available(needed)
            return plan
        # Users may go on working during a download, so compare again after one.
        if not fetcher.fetch(needed):
            return plan


def find_conflicts(
    steps: Steps, root: str, *, in_project: bool, force: bool
) -> tuple[list[str], RestoreError | None]:
    """Find the files that are in the way, and the error that refuses to replace them."""
    if in_project:
        edited = [path for path in steps.target.unsaved if path in steps.metafiles]
        paths = sorted({*steps.backups.unsaved, *edited})
        return paths, UnsavedContentError(paths) if paths and not force else None
    paths = [change.path for change in steps.plan.changes if change.old is not None]
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
