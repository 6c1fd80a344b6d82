"""Bring objects into the cache, each the way that its kind needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.errors import DvcError, MissingObjectsError
from mlflow_dvc_plugin.restoring.options import Options
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject


class Fetcher:
    """Fetches what the cache lacks of a state.

    Args:
        project: the open project.
        entries: the outs that the objects belong to.
        commit: the run's Git commit, whose metafiles may name other places.
        options: the remote that the user chose, jobs and progress.

    Attributes:
        project: the project.
        progress: hears of files and bytes.
    """

    def __init__(
        self, project: DvcProject, entries: Iterable[Entry], commit: str | None, options: Options
    ) -> None:
        self.project = project
        self._entries = {e.path: e for e in entries}
        self._commit = commit
        self._options = options
        self.progress = options.progress

    def look(self, objs: Mapping[Obj, str]) -> None:
        """Ask whether all of the objects could be had, and bring none.

        Args:
            objs: the objects, each with a path that holds it.

        Raises:
            MissingObjectsError: some are in neither the cache nor the remote.
            DvcError: the remote did not answer.
        """
        by_remote: dict[str | None, list[Obj]] = {}
        for obj in objs.keys() - self.project.cache.find_objects(objs):
            owner = self._owner(objs[obj])
            # Only by fetching them is it known where imports and versions are.
            if owner is None or owner.kind == "plain":
                remote = self._options.remote or (owner.remote if owner else None)
                by_remote.setdefault(remote, []).append(obj)
        lost: list[Obj] = []
        for remote, some in by_remote.items():
            self.progress.begin("Asking the remote", len(some))
            present = self.project.remotes.find_objects(some, remote)
            lost += [obj for obj in some if obj not in present]
        if lost:
            raise MissingObjectsError({objs[obj]: "not in the remote" for obj in sorted(lost)})

    def fetch(self, objs: Mapping[Obj, str]) -> bool:
        """Have all of the objects in the cache, verified.

        Args:
            objs: the objects, each with a path that holds it.

        Returns:
            Whether any had to be brought.

        Raises:
            MissingObjectsError: some cannot be had; all of them are named.
        """
        if not objs:
            return False
        self.progress.begin("Looking into the cache", len(objs))
        missing = objs.keys() - self.project.cache.find_objects(objs, self.progress)
        if not missing:
            return False
        self.progress.begin("Fetching", len(missing))
        failed: dict[Obj, str] = {}
        special: dict[Obj, str] = {}
        by_remote: dict[str | None, list[Obj]] = {}
        for obj in sorted(missing):
            owner = self._owner(objs[obj])
            if owner is not None and owner.kind == "cloud-versioned":
                special[obj] = "not in the remote at the recorded version"
            else:
                remote = self._options.remote or (owner.remote if owner else None)
                by_remote.setdefault(remote, []).append(obj)
        for remote, some in by_remote.items():
            options = self._options
            failed.update(self.project.remotes.fetch(some, remote, options.jobs, self.progress))
        for obj, reason in list(failed.items()):
            owner = self._owner(objs[obj])
            if owner is not None and owner.kind != "plain":
                special[obj] = reason
            elif owner is not None and not owner.push:
                failed[obj] = (
                    f"{reason}; it is `push: false`, so only the cache that made it has it"
                )
        failed.update(self._as_dvc(special, objs))
        still = failed.keys() - self.project.cache.find_objects(failed)
        if still:
            raise MissingObjectsError({objs[obj]: failed[obj] for obj in sorted(still)})
        return True

    def _as_dvc(self, special: Mapping[Obj, str], objs: Mapping[Obj, str]) -> dict[Obj, str]:
        """Imports and cloud-versioned outs, by their metafiles; why some cannot be had."""
        failed = dict(special)
        for commit in dict.fromkeys((None, self._commit)):
            if not failed:
                break
            owners = {e.path: e for obj in failed if (e := self._owner(objs[obj])) is not None}
            for e in owners.values():
                reason = self._special(e, commit)
                mine = [obj for obj in failed if self._owner(objs[obj]) == e]
                failed.update(dict.fromkeys(mine, reason) if reason else {})
            for obj in self.project.cache.find_objects(failed):
                del failed[obj]
        return failed

    def _special(self, e: Entry, commit: str | None) -> str:
        """Bring one out as its metafile says; why not, if it could not be had."""
        options = self._options
        try:
            if e.kind == "import-url":
                obj = Obj(e.hash_name, str(e.hash))
                self.project.outs.fetch_from_source(e.path, obj, commit)
            else:
                self._list(e, commit)
                self.project.outs.fetch([e.path], commit, options.remote, options.jobs)
        except DvcError as err:
            return str(err)
        return ""

    def _list(self, e: Entry, commit: str | None) -> None:
        """Write the listing of a cloud-versioned folder into the cache."""
        if e.kind != "cloud-versioned" or not str(e.hash).endswith(DIR_SUFFIX):
            return
        data = self.project.outs.read_listing(e.path, commit)
        if data is not None and Obj.from_bytes(data).value + DIR_SUFFIX == e.hash:
            self.project.cache.save_bytes(data, Obj(e.hash_name, e.hash))

    def _owner(self, path: str) -> Entry | None:
        """The out that a file belongs to."""
        while path:
            if path in self._entries:
                return self._entries[path]
            path = path.rpartition("/")[0]
        return None
