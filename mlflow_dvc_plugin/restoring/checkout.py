"""Make a folder hold what a target says: plan, fetch, save what is replaced, then write."""

from __future__ import annotations

import os
import time
from pathlib import PurePosixPath

from mlflow_dvc_plugin.restoring.files.contents import check_contents, write_contents
from mlflow_dvc_plugin.restoring.files.permissions import change_modes, read_modes
from mlflow_dvc_plugin.restoring.files.symlinks import is_symlink
from mlflow_dvc_plugin.restoring.plan.steps import Steps, find_conflicts, plan_steps
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.restoring.run_data.listings import Target
from mlflow_dvc_plugin.restoring.undo_records import store
from mlflow_dvc_plugin.restoring.undo_records.record import UndoRecord, to_digest
from mlflow_dvc_plugin.restoring.write.changes import save_out_links, write_changes
from mlflow_dvc_plugin.state.objects import Obj


class Checkout:
    """Makes a folder hold what a target says.

    `root` is the project's own folder, or another one, which gets no metafiles
    and no undo record. `takes_back` names the record that an undo takes back;
    empty for a restore.
    """

    def __init__(
        self, fetcher: Fetcher, root: str, run_id: str, *, source: str, takes_back: str = ""
    ) -> None:
        self._fetcher = fetcher
        self._dvc = fetcher.project
        self._root = root
        self._in_project = root == self._dvc.root
        self._run_id = run_id
        self._source = source
        self._options = fetcher.options
        self._takes_back = takes_back

    def run(self, target: Target) -> RestoreResult:
        """Make the folder hold the target, or only find out what that would change."""
        started = time.monotonic()
        dry_run = self._options.dry_run
        steps = plan_steps(self._fetcher, self._root, target)
        in_the_way, refusal = find_conflicts(
            steps, self._root, in_project=self._in_project, force=self._options.force
        )
        if refusal is not None and not dry_run:
            raise refusal
        record, size = None, 0
        if not dry_run and self._has_work(steps):
            check_contents(self._root, steps.old_contents)
            self._save_replaced(steps)
            record = self._save_record(steps) if self._in_project else None
            size = self._write(steps)
            if record is not None:
                self._complete(steps, record)
        return RestoreResult(
            run_id=self._run_id,
            source=self._source,
            **steps.sort_outs(),
            files=len(steps.changes),
            bytes=size,
            verified=sum(1 for obj in steps.target.files.values() if obj is not None),
            forgotten=dict.fromkeys(
                sorted(steps.target.forgotten), self._fetcher.forgotten.forgotten.describe()
            ),
            undo=record.record_id if record else None,
            metafiles=sorted(steps.metafiles),
            in_the_way=in_the_way,
            refusal=str(refusal) if refusal else None,
            dry_run=dry_run,
            seconds=time.monotonic() - started,
        )

    def _has_work(self, steps: Steps) -> bool:
        return bool(
            steps.changes
            or steps.metafiles
            or steps.new_folders
            or steps.new_modes
            or (self._in_project and store.is_pending(self._dvc.tmp_dir, self._takes_back))
        )

    # -- saving what is replaced ---------------------------------------------------

    def _save_replaced(self, steps: Steps) -> None:
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
            # What was deleted on purpose stays deleted.
            missing -= self._fetcher.forgotten.find(self._dvc, missing)
            if missing:
                files.update((path, obj) for path, obj in unchanged.items() if obj in missing)
        if files:
            self._options.progress.begin("Saving", len(files))
        for path, obj in files.items():
            self._dvc.cache.save_file(os.path.join(self._root, path), obj)
            self._options.progress.advance(files=1)

    def _save_record(self, steps: Steps) -> UndoRecord:
        """Save how everything is before anything changes."""
        target, tmp_dir = steps.target, self._dvc.tmp_dir
        old: dict[str, Obj | None] = {**steps.backups.saved, **steps.backups.unsaved}
        files = [path for path, obj in old.items() if not is_symlink(obj)]
        folders = {*target.folders, *target.empty_folders, *target.outs}
        record = UndoRecord(
            store.make_id(tmp_dir),
            self._run_id,
            files={**{change.path: None for change in steps.changes}, **old},
            modes=read_modes(self._root, [*steps.old_contents, *files]),
            metafiles=steps.old_contents,
            outs=target.outs,
            folders=tuple(f for f in sorted(folders) if os.path.isdir(os.path.join(self._root, f))),
            done=False,
            written={path: to_digest(data) for path, data in steps.metafiles.items()},
            takes_back=self._takes_back,
        )
        record = store.resume_record(tmp_dir, record)
        # Files whose permissions alone change; a record that is resumed knows them better.
        same = {p: target.files[p] for p in steps.new_modes if p not in steps.changed}
        record = record._replace(
            files={**same, **record.files}, modes={**read_modes(self._root, same), **record.modes}
        )
        store.save_record(tmp_dir, record)
        return record

    # -- writing -------------------------------------------------------------------

    def _write(self, steps: Steps) -> int:
        """Write data and metafiles; return the number of bytes of data."""
        target, changes, progress = steps.target, steps.changes, self._options.progress
        new_files = {change.path for change in changes if change.new is not None}
        progress.begin("Restoring", len(new_files))
        os.makedirs(self._root, exist_ok=True)
        # Outside the project a hardlink or symlink would let an edit change the cache.
        link_types = self._dvc.cache.find_link_types(self._root, linked=self._in_project)
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

    def _complete(self, steps: Steps, record: UndoRecord) -> None:
        """Tell DVC what was written, and mark the record as done."""
        self._options.progress.begin("Updating DVC's state", 0)
        target = steps.target
        outs = () if self._takes_back else [o for o in target.outs if o not in target.untracked]
        written = {*steps.changed, *steps.new_modes, *steps.metafiles}
        save_out_links(self._dvc, outs, steps.times, written)
        store.save_record(self._dvc.tmp_dir, record._replace(done=True))
