"""Fetch objects into the cache, each in the way that its kind of out needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.dvc.errors import NOT_IN_REMOTE
from mlflow_dvc_plugin.errors import DvcError, ForgottenObjectsError, MissingObjectsError
from mlflow_dvc_plugin.git import is_commit
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.run_data.forgotten_data import ForgottenData
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.entry import find_owner
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

# Each object with a path that holds it.
PathByObject = Mapping[Obj, str]

_NO_OUT = Entry("", "md5", None)

# Why an out of each kind may be out of reach without the metafiles of a clone.
_NEEDS_CLONE = {
    "import": "it was imported, and only a clone of the project says where from",
    "import-url": "it was imported, and only a clone of the project says where from",
    "cloud-versioned": "its remote is cloud-versioned, and only a clone of the project says which "
    "version it is",
}


@dataclass(frozen=True)
class Options:
    """What the user chose for a restore, as `restore` explains."""

    dry_run: bool = False
    force: bool = False
    remote: str | None = None
    jobs: int | None = None
    progress: Progress = field(default_factory=Progress)
    skip_forgotten: bool = False


class Fetcher:
    """Fetches the objects of outs that the cache lacks.

    The metafiles of `commit` may name other sources than today's. `forgotten` is what was
    deleted of the run on purpose.

    Attributes:
        skipped: the objects that were deleted on purpose, and are passed over.
    """

    def __init__(
        self,
        project: DvcProject,
        entries: Iterable[Entry],
        commit: str | None,
        options: Options,
        forgotten: ForgottenData | None = None,
    ) -> None:
        self.project = project
        self.options = options
        self._progress = options.progress
        self._entries = {e.path: e for e in entries}
        # It may come from a tag: another revision could be a branch that others can push to.
        self._commit = commit if commit and is_commit(commit) else None
        self.forgotten = forgotten or ForgottenData()
        self.skipped: frozenset[Obj] = frozenset()

    def check_available(self, paths: PathByObject) -> None:
        """Check that all objects, each with a path, are in the cache or in their remote.

        Imports and cloud-versioned outs are passed over: only fetching tells
        whether their source still has them.
        """
        missing: list[Obj] = []
        absent = paths.keys() - self.project.cache.find_objects(paths)
        plain = [obj for obj in absent if self._find_owner(paths[obj]).kind == "plain"]
        # Without metafiles a remote is the only source that an import can have.
        known = plain if self.project.has_metafiles else absent
        for remote, objs in self._group_by_remote(known, paths):
            self._progress.begin("Checking the remote", len(objs))
            found = self.project.remotes.find_objects(objs, remote)
            missing += [obj for obj in objs if obj not in found]
        if missing:
            self._skip(dict.fromkeys(missing, NOT_IN_REMOTE), paths)

    def fetch(self, paths: PathByObject) -> bool:
        """Bring all objects into the cache, and verify them; tell whether any had to be fetched."""
        if not paths:
            return False
        self._progress.begin("Checking the cache", len(paths))
        absent = paths.keys() - self.project.cache.find_objects(paths, self._progress)
        if not absent:
            return False
        self._progress.begin("Fetching", len(absent))
        failed = self._fetch_by_hash(sorted(absent), paths)
        if self.project.has_metafiles:
            failed = self._fetch_by_metafile(failed, paths)
        else:
            failed = {obj: self._explain(reason, paths[obj]) for obj, reason in failed.items()}
        missing = failed.keys() - self.project.cache.find_objects(failed)
        if missing:
            self._skip({obj: failed[obj] for obj in missing}, paths)
        return True

    def _skip(self, missing: Mapping[Obj, str], paths: PathByObject) -> None:
        """Skip objects that cannot be had, if that is what the user wants; refuse others."""
        reasons = {paths[obj]: missing[obj] for obj in sorted(missing)}
        mark = self.forgotten.forgotten
        if self.forgotten.find(self.project, missing) != missing.keys():
            raise MissingObjectsError(reasons, mark.describe_some())
        if not self.options.skip_forgotten:
            raise ForgottenObjectsError(sorted(reasons), mark.describe())
        self.skipped |= missing.keys()

    def _fetch_by_hash(self, objs: Iterable[Obj], paths: PathByObject) -> dict[Obj, str]:
        """Fetch objects from the remotes; return the reason for each that did not arrive."""
        failed: dict[Obj, str] = {}
        hashed: list[Obj] = []
        for obj in objs:
            if self._find_owner(paths[obj]).kind == "cloud-versioned":
                failed[obj] = "not in the remote at the recorded version"
            else:
                hashed.append(obj)
        for remote, some in self._group_by_remote(hashed, paths):
            for obj, reason in self.project.remotes.fetch(
                some, remote, self.options.jobs, self._progress
            ).items():
                owner, failed[obj] = self._find_owner(paths[obj]), reason
                if owner.kind == "plain" and not owner.push:
                    failed[obj] += (
                        "; the out is `push: false`, so only the cache of the machine that made it "
                        "has it"
                    )
        return failed

    def _explain(self, reason: str, path: str) -> str:
        """Add to a reason that only a clone of the project knows the source of some outs."""
        more = _NEEDS_CLONE.get(self._find_owner(path).kind)
        return f"{reason}; {more}" if more else reason

    def _fetch_by_metafile(self, objs: Mapping[Obj, str], paths: PathByObject) -> dict[Obj, str]:
        """Have DVC fetch imports and cloud-versioned outs; return the objects that still fail."""
        failed = dict(objs)
        for commit in dict.fromkeys((None, self._commit)):
            special: dict[Entry, list[Obj]] = {}
            for obj in failed:
                owner = self._find_owner(paths[obj])
                if owner.kind != "plain":
                    special.setdefault(owner, []).append(obj)
            if not special:
                break
            for e, some in special.items():
                if reason := self._fetch_out(e, commit):
                    failed.update(dict.fromkeys(some, reason))
            for obj in self.project.cache.find_objects(failed):
                del failed[obj]
        return failed

    def _fetch_out(self, e: Entry, commit: str | None) -> str:
        """Fetch an out as its metafile says; return the reason if that failed."""
        outs, obj = self.project.outs, Obj(e.hash_name, str(e.hash))
        try:
            if e.kind == "import-url":
                outs.fetch_from_source(e.path, obj, commit)
                return ""
            if e.kind == "cloud-versioned" and obj.value.endswith(DIR_SUFFIX):
                # The metafile itself holds the listing.
                data = outs.read_listing(e.path, commit)
                if data is not None and Obj.from_bytes(data).value + DIR_SUFFIX == e.hash:
                    self.project.cache.save_bytes(data, obj)
            outs.fetch(e.path, commit, self.options.remote, self.options.jobs)
        except DvcError as err:
            return str(err)
        return ""

    def _group_by_remote(
        self, objs: Iterable[Obj], paths: PathByObject
    ) -> Iterable[tuple[str | None, list[Obj]]]:
        groups: dict[str | None, list[Obj]] = {}
        for obj in objs:
            remote = self.options.remote or self._find_owner(paths[obj]).remote
            groups.setdefault(remote, []).append(obj)
        return groups.items()

    def _find_owner(self, path: str) -> Entry:
        """Find the out that a file belongs to; an undo has none, and fetches as for plain ones."""
        return self._entries.get(find_owner(path, self._entries) or "", _NO_OUT)
