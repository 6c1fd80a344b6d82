"""One change of a folder's data, from plan to result."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from mlflow_dvc_plugin.errors import RestoreError, UnsavedContentError
from mlflow_dvc_plugin.restoring.files import (
    permissions as modes,
)
from mlflow_dvc_plugin.restoring.files import (
    small_files as texts,
)
from mlflow_dvc_plugin.restoring.files import (
    symlinks as links,
)
from mlflow_dvc_plugin.restoring.files.small_files import Texts
from mlflow_dvc_plugin.restoring.options import Options
from mlflow_dvc_plugin.restoring.plan import scan as workspace
from mlflow_dvc_plugin.restoring.plan.comparison import Plan
from mlflow_dvc_plugin.restoring.result import RestoreResult
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.restoring.run_data.files import Wanted
from mlflow_dvc_plugin.restoring.undo import journal
from mlflow_dvc_plugin.restoring.undo.backups import replaced
from mlflow_dvc_plugin.restoring.write.apply import apply
from mlflow_dvc_plugin.restoring.write.link_records import claim
from mlflow_dvc_plugin.state.objects import Obj


class Operation:
    """Brings files, and then metafiles, to what they have to be.

    Args:
        fetcher: brings objects into the cache of the open project.
        root: absolute path that all paths are relative to: the project's, or
            another folder, in which no metafiles are written and no undo is
            kept.
        run_id: the run that the data belongs to.
        source: where the state was read.
        options: how it is done.
        takes_back: names the journal that is taken back; empty for a restore.
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

    def run(self, files: Wanted, outs: Sequence[str], metafiles: Texts) -> RestoreResult:
        """Fetch, check what is in the way, and only then touch the folder.

        Args:
            files: what each path must hold.
            outs: the paths to report on.
            metafiles: bytes of the metafiles to write; None for one to remove.

        Raises:
            MissingObjectsError: data cannot be had; nothing was touched.
            UnsavedContentError: something in the way is not saved; nothing was
                touched.
            RestoreError: another program wrote to what is to be replaced.
            OSError: the disk refused.
        """
        started = time.monotonic()
        texts.refuse_links(self._root, metafiles)
        today = texts.bytes_of(self._root, metafiles)
        plan = self._plan(files, metafiles)
        metafiles = {path: data for path, data in metafiles.items() if data != today[path]}
        today = {path: today[path] for path in metafiles}
        paths = {change.path for change in plan.changes}
        old = replaced(self._dvc, self._root, plan, files.modes)
        self._refuse(plan, sorted(old.unsaved))
        # An empty folder and permissions are no file's content.
        folders = [f for f in files.folders if not os.path.isdir(os.path.join(self._root, f))]
        wanted = {
            path: on
            for path, on in files.modes.items()
            if path in files.files and (path in paths or path not in old.links)
        }
        bits = modes.differing(self._root, wanted)
        written, record = 0, None
        pending = self._in_project and journal.is_pending(self._dvc.tmp_dir, self._takes_back)
        anything = plan.changes or metafiles or folders or bits or pending
        if anything and not self._options.dry_run:
            texts.check(self._root, today)
            self._save({p: obj for p, obj in old.unsaved.items() if p not in old.links})
            if self._in_project:
                self._save(self._uncached(files, paths))
            same = {path: files.files[path] for path in bits if path not in paths}
            before = self._before(plan, {**old.saved, **old.unsaved}, today, files, outs)
            before = before._replace(
                wrote={**before.wrote, **{p: journal.digest(d) for p, d in metafiles.items()}},
                files={**same, **before.files},
                modes={**modes.modes_of(self._root, same), **before.modes},
            )
            if self._in_project:
                journal.save(self._dvc.tmp_dir, before)
                record = before.journal_id
            first = _in_the_way(plan, metafiles)
            texts.write(self._root, first, today, files.modes)
            written = self._apply(plan, files)
            modes.put(self._root, wanted)
            last = {path: data for path, data in metafiles.items() if path not in first}
            texts.write(self._root, last, today, files.modes)
            if self._in_project:
                self._options.progress.begin("Telling DVC", 0)
                mine = () if self._takes_back else outs
                claim(self._dvc, mine, plan.times, {*paths, *bits, *metafiles})
                journal.save(self._dvc.tmp_dir, before._replace(done=True))
        by_kind = plan.outs(outs)
        touched = {**dict.fromkeys(bits, "modified"), **dict.fromkeys(folders, "added")}
        for path in [path for path in by_kind["unchanged"] if path in touched]:
            by_kind["unchanged"].remove(path)
            by_kind[touched[path]].append(path)
        return RestoreResult(
            run_id=self._run_id,
            source=self._source,
            added=by_kind["added"],
            modified=by_kind["modified"],
            deleted=by_kind["deleted"],
            unchanged=by_kind["unchanged"],
            files=len(plan.changes),
            bytes=written,
            verified=sum(1 for obj in files.files.values() if obj is not None),
            undo=record,
            metafiles=sorted(metafiles),
            dry_run=self._options.dry_run,
            seconds=time.monotonic() - started,
        )

    def _plan(self, files: Wanted, metafiles: Texts) -> Plan:
        """Compare, and have every object that is needed in the cache."""
        dry, progress = self._options.dry_run, self._options.progress
        while True:
            progress.begin("Comparing", len(files.files))
            plan = workspace.scan(
                *(self._dvc, self._root, files),
                apart=metafiles,
                sweep=not dry,
                progress=progress,
            )
            needed = {
                change.new: change.path
                for change in plan.changes
                if change.new is not None and not links.is_link(change.new)
            }
            # A download takes long enough for people to go on working: look again.
            if dry or not self._fetcher.fetch(needed):
                break
        if dry:
            self._fetcher.look(needed)
        return plan

    def _refuse(self, plan: Plan, unsaved: list[str]) -> None:
        """Refuse to replace what nothing else has, or in a folder that is not the project's."""
        foreign = [c.path for c in plan.changes if c.old is not None and c.new is None]
        if not self._in_project and foreign:
            shown = ", ".join(foreign[:10])
            raise RestoreError(
                f"{self._root} has files that the run did not have: {shown}. Nothing was touched: "
                "name another folder."
            )
        there = [c.path for c in plan.changes if c.old is not None]
        if not self._in_project and there and not self._options.force:
            more = f" and {len(there) - 10} more" if len(there) > 10 else ""
            raise RestoreError(
                f"{self._root} has other content in {', '.join(there[:10])}{more}. Nothing was "
                "touched: name another folder, or use --force, which saves it in the cache first."
            )
        if unsaved and not self._options.force:
            raise UnsavedContentError(unsaved)

    def _uncached(self, files: Wanted, changed: Collection[str]) -> dict[str, Obj]:
        """The files that stay, and that the cache lost: DVC would call their outs changed."""
        stay = {
            path: obj
            for path, obj in files.files.items()
            if obj is not None and path not in changed and not links.is_link(obj)
        }
        lost = self._dvc.cache.find_missing(stay.values())
        return {path: obj for path, obj in stay.items() if obj in lost} if lost else {}

    def _save(self, files: Mapping[str, Obj]) -> None:
        """Have files of the folder in the cache."""
        if files:
            self._options.progress.begin("Saving", len(files))
        for path, obj in files.items():
            self._dvc.cache.save_file(os.path.join(self._root, path), obj)
            self._options.progress.advance(files=1)

    def _before(
        self,
        plan: Plan,
        old: Mapping[str, Obj | None],
        today: Texts,
        files: Wanted,
        outs: Sequence[str],
    ) -> journal.Journal:
        """How everything is, before anything changes."""
        candidates = {*files.folders, *files.kept, *outs}
        before = journal.Journal(
            journal.new_id(self._dvc.tmp_dir),
            self._run_id,
            {**old, **{c.path: None for c in plan.changes if c.path not in old}},
            modes.modes_of(
                self._root, [*today, *(p for p, obj in old.items() if not links.is_link(obj))]
            ),
            today,
            tuple(outs),
            tuple(sorted(f for f in candidates if os.path.isdir(os.path.join(self._root, f)))),
            done=False,
            takes_back=self._takes_back,
        )
        return journal.resumed(self._dvc.tmp_dir, before) if self._in_project else before

    def _apply(self, plan: Plan, files: Wanted) -> int:
        self._options.progress.begin("Restoring", sum(1 for c in plan.changes if c.new is not None))
        os.makedirs(self._root, exist_ok=True)
        # Outside the project a hard or symbolic link would let an edit reach into the cache.
        types = self._dvc.links.find_usable_types(self._root, linked=self._in_project)
        written = apply(
            self._dvc,
            self._root,
            [change for change in plan.changes if not links.is_link(change.new)],
            files,
            link_types=types,
            progress=self._options.progress,
        )
        links.put(self._root, [change for change in plan.changes if links.is_link(change.new)])
        return written


def _in_the_way(plan: Plan, metafiles: Texts) -> Texts:
    """Those metafiles that go, and are in a folder where a file has to be."""
    targets = {change.path for change in plan.changes if change.new is not None}
    return {
        path: data
        for path, data in metafiles.items()
        if data is None and any(str(above) in targets for above in PurePosixPath(path).parents)
    }
