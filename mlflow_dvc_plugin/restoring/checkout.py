"""Make a folder hold what a target says: plan, fetch, save what is replaced, then write."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from mlflow_dvc_plugin.errors import RestoreError, UnsavedContentError, join_some
from mlflow_dvc_plugin.restoring.files.contents import (
    Contents,
    check_contents,
    check_symlinks,
    read_contents,
    write_contents,
)
from mlflow_dvc_plugin.restoring.files.permissions import (
    ModeChange,
    change_modes,
    find_changes,
    read_modes,
)
from mlflow_dvc_plugin.restoring.files.symlinks import is_symlink
from mlflow_dvc_plugin.restoring.options import Options
from mlflow_dvc_plugin.restoring.plan.backups import Backups, find_backups
from mlflow_dvc_plugin.restoring.plan.comparison import Plan
from mlflow_dvc_plugin.restoring.plan.scan import Scanner
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.restoring.run_data.target import Target
from mlflow_dvc_plugin.restoring.undo_records.record import UndoRecord, to_digest
from mlflow_dvc_plugin.restoring.undo_records.store import (
    is_pending,
    make_id,
    resume_record,
    save_record,
)
from mlflow_dvc_plugin.restoring.write.changes import write_changes
from mlflow_dvc_plugin.restoring.write.out_links import save_out_links
from mlflow_dvc_plugin.state.objects import Obj


class _Steps(NamedTuple):
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


class Checkout:
    """Makes a folder hold what a target says.

    Args:
        fetcher: brings objects into the cache of the open project.
        root: absolute path of the folder: the project's own, or another one,
            which gets no metafiles and no undo record.
        run_id: the run that the data belongs to.
        source: where the run's state was read.
        options: what the user chose.
        takes_back: names the record that an undo takes back; empty for a restore.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        root: str,
        run_id: str,
        *,
        source: str,
        options: Options,
        takes_back: str = "",
    ) -> None:
        self._fetcher = fetcher
        self._dvc = fetcher.project
        self._root = root
        self._in_project = root == self._dvc.root
        self._run_id = run_id
        self._source = source
        self._options = options
        self._takes_back = takes_back

    def run(self, target: Target) -> RestoreResult:
        """Do the checkout, or only find out what it would do.

        Args:
            target: what the folder must hold.

        Raises:
            MissingObjectsError: data cannot be fetched; nothing was changed.
            UnsavedContentError: content in the way is not saved; nothing was
                changed.
            RestoreError: another program wrote to a file that is to be replaced.
            OSError: the disk is full, or a folder cannot be written to.
        """
        started = time.monotonic()
        steps = self._plan_steps(target)
        in_the_way, refusal = self._find_conflicts(steps)
        if refusal is not None and not self._options.dry_run:
            raise refusal
        record, size = None, 0
        if not self._options.dry_run and self._has_work(steps):
            check_contents(self._root, steps.old_contents)
            self._save_replaced(steps)
            record = self._save_record(steps) if self._in_project else None
            size = self._write(steps)
            if record is not None:
                self._complete(steps, record)
        return RestoreResult(
            run_id=self._run_id,
            source=self._source,
            **self._sort_outs(steps),
            files=len(steps.plan.changes),
            bytes=size,
            verified=sum(1 for obj in target.files.values() if obj is not None),
            undo=record.record_id if record else None,
            metafiles=sorted(steps.metafiles),
            in_the_way=in_the_way,
            refusal=str(refusal) if refusal else None,
            dry_run=self._options.dry_run,
            seconds=time.monotonic() - started,
        )

    # -- planning ------------------------------------------------------------------

    def _plan_steps(self, target: Target) -> _Steps:
        check_symlinks(self._root, target.metafiles)
        present = read_contents(self._root, target.metafiles)
        plan = self._plan_and_fetch(target)
        metafiles = {p: data for p, data in target.metafiles.items() if data != present[p]}
        changed = frozenset(change.path for change in plan.changes)
        backups = find_backups(self._dvc, self._root, plan, target.modes)
        modes = {
            path: change
            for path, change in target.modes.items()
            if path in target.files and (path in changed or path not in backups.symlinks)
        }
        return _Steps(
            target,
            plan,
            changed,
            backups,
            metafiles,
            old_contents={path: present[path] for path in metafiles},
            modes=modes,
            new_modes=find_changes(self._root, modes),
            new_folders=[f for f in target.folders if not self._is_folder(f)],
        )

    def _plan_and_fetch(self, target: Target) -> Plan:
        """Plan the changes, and bring every object that they need into the cache."""
        dry_run, progress = self._options.dry_run, self._options.progress
        while True:
            progress.begin("Comparing", len(target.files))
            plan = Scanner(
                self._dvc, self._root, target, clean=not dry_run, progress=progress
            ).make_plan()
            needed = {
                change.new: change.path
                for change in plan.changes
                if change.new is not None and not is_symlink(change.new)
            }
            if dry_run:
                self._fetcher.check_available(needed)
                return plan
            # Users may go on working during a download, so compare again after one.
            if not self._fetcher.fetch(needed):
                return plan

    def _find_conflicts(self, steps: _Steps) -> tuple[list[str], RestoreError | None]:
        """Find the files that are in the way, and the error that refuses to replace them."""
        force = self._options.force
        if self._in_project:
            edited = [path for path in steps.target.unsaved if path in steps.metafiles]
            paths = sorted({*steps.backups.unsaved, *edited})
            return paths, UnsavedContentError(paths) if paths and not force else None
        paths = [change.path for change in steps.plan.changes if change.old is not None]
        foreign = [path for path in paths if steps.target.files.get(path) is None]
        if foreign:
            return paths, RestoreError(
                f"{self._root} has files that the run did not have: {join_some(foreign, 10)}. "
                "Nothing was changed. Name another folder."
            )
        if paths and not force:
            return paths, RestoreError(
                f"{self._root} has other content in {join_some(paths, 10)}. Nothing was changed. "
                "Name another folder, or use --force to save that content in the cache first."
            )
        return paths, None

    def _has_work(self, steps: _Steps) -> bool:
        return bool(
            steps.plan.changes
            or steps.metafiles
            or steps.new_folders
            or steps.new_modes
            or (self._in_project and is_pending(self._dvc.tmp_dir, self._takes_back))
        )

    # -- saving what is replaced ---------------------------------------------------

    def _save_replaced(self, steps: _Steps) -> None:
        """Save content that the cache lacks: what is replaced, and what stays in the project."""
        backups = steps.backups
        files = {p: obj for p, obj in backups.unsaved.items() if p not in backups.symlinks}
        if self._in_project:
            # DVC calls an out changed if its objects are gone from the cache.
            unchanged = {
                path: obj
                for path, obj in steps.target.files.items()
                if obj is not None and path not in steps.changed and not is_symlink(obj)
            }
            missing = self._dvc.cache.find_missing(unchanged.values())
            if missing:
                files.update((path, obj) for path, obj in unchanged.items() if obj in missing)
        if files:
            self._options.progress.begin("Saving", len(files))
        for path, obj in files.items():
            self._dvc.cache.save_file(os.path.join(self._root, path), obj)
            self._options.progress.advance(files=1)

    def _save_record(self, steps: _Steps) -> UndoRecord:
        """Save how everything is before anything changes."""
        target, tmp_dir = steps.target, self._dvc.tmp_dir
        old: dict[str, Obj | None] = {**steps.backups.saved, **steps.backups.unsaved}
        files = [path for path, obj in old.items() if not is_symlink(obj)]
        folders = {*target.folders, *target.empty_folders, *target.outs}
        record = UndoRecord(
            make_id(tmp_dir),
            self._run_id,
            files={**{change.path: None for change in steps.plan.changes}, **old},
            modes=read_modes(self._root, [*steps.old_contents, *files]),
            metafiles=steps.old_contents,
            outs=target.outs,
            folders=tuple(sorted(filter(self._is_folder, folders))),
            done=False,
            written={path: to_digest(data) for path, data in steps.metafiles.items()},
            takes_back=self._takes_back,
        )
        record = resume_record(tmp_dir, record)
        # Files whose permissions alone change; a record that is resumed knows them better.
        same = {p: target.files[p] for p in steps.new_modes if p not in steps.changed}
        record = record._replace(
            files={**same, **record.files}, modes={**read_modes(self._root, same), **record.modes}
        )
        save_record(tmp_dir, record)
        return record

    # -- writing -------------------------------------------------------------------

    def _write(self, steps: _Steps) -> int:
        """Write data and metafiles; return the number of bytes of data."""
        target, changes, progress = steps.target, steps.plan.changes, self._options.progress
        new_files = {change.path for change in changes if change.new is not None}
        progress.begin("Restoring", len(new_files))
        os.makedirs(self._root, exist_ok=True)
        # Outside the project a hardlink or symlink would let an edit change the cache.
        link_types = self._dvc.links.find_usable_types(self._root, linked=self._in_project)
        # Metafiles that are deleted, and stand in a folder where a data file has to be.
        obstacles = {
            path: data
            for path, data in steps.metafiles.items()
            if data is None and any(str(p) in new_files for p in PurePosixPath(path).parents)
        }
        write_contents(self._root, obstacles, steps.old_contents, target.modes)
        size = write_changes(
            self._dvc,
            self._root,
            changes,
            folders=(*target.folders, *target.empty_folders),
            link_types=link_types,
            progress=progress,
        )
        change_modes(self._root, steps.modes)
        # The metafiles come last: until then they say what a killed restore started from.
        rest = {path: data for path, data in steps.metafiles.items() if path not in obstacles}
        write_contents(self._root, rest, steps.old_contents, target.modes)
        return size

    def _complete(self, steps: _Steps, record: UndoRecord) -> None:
        """Tell DVC what was written, and mark the record as done."""
        self._options.progress.begin("Updating DVC's state", 0)
        outs = () if self._takes_back else steps.target.outs
        written = {*steps.changed, *steps.new_modes, *steps.metafiles}
        save_out_links(self._dvc, outs, steps.plan.times, written)
        save_record(self._dvc.tmp_dir, record._replace(done=True))

    def _sort_outs(self, steps: _Steps) -> dict[str, list[str]]:
        """Sort the outs by what happens to them; new folders and permissions count, too."""
        touched = dict.fromkeys(steps.new_modes, "modified")
        touched.update(dict.fromkeys(steps.new_folders, "added"))
        return steps.plan.sort_outs(steps.target.outs, touched)

    def _is_folder(self, path: str) -> bool:
        return os.path.isdir(os.path.join(self._root, path))
