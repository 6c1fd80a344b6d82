"""Scan the places that a restore will write to: which files exist, and what do they hold?"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

from mlflow_dvc_plugin.capturing.workspace.folders import walk_folder
from mlflow_dvc_plugin.errors import CaptureError, RestoreError, UnsafePathError
from mlflow_dvc_plugin.restoring.files.paths import FolderGuard
from mlflow_dvc_plugin.restoring.files.stamps import read_stamp, to_stamp
from mlflow_dvc_plugin.restoring.files.symlinks import is_symlink, read_symlink
from mlflow_dvc_plugin.restoring.files.temporary import TEMPORARY_NAME
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.restoring.run_data.listings import Target
from mlflow_dvc_plugin.state.objects import Obj

_BATCH = 5000  # files

# A file that exists, with its stat if that is already known.
Found = tuple[str, os.stat_result | None]


class Change(NamedTuple):
    """One file that has to change, and the stamp of what exists; None stands for nothing."""

    path: str
    old: Obj | None
    new: Obj | None
    stamp: int | None


class Scanner:
    """Scans a folder and compares it with a target.

    Unless this is a dry run, temporary files that a killed restore left are deleted.
    """

    def __init__(self, fetcher: Fetcher, root: str, target: Target) -> None:
        self._project = fetcher.project
        self._root = root
        self._target = target
        self._clean = not fetcher.options.dry_run
        self._progress = fetcher.options.progress
        self._guard = FolderGuard(root)

    def find_changes(self) -> tuple[list[Change], dict[str, float]]:
        """Find all files that have to change: at the target's paths, and in its folders.

        Returns:
            The changes in the order of their paths, and when each file that
            exists was modified, in seconds since the epoch.
        """
        files = self._target.files
        times: dict[str, float] = {}
        changes: list[Change] = []
        absent = set(files)
        if self._clean:
            self._delete_temporary()
        found = self._find_data(times)
        # In batches: a million files at once would take much memory.
        while batch := dict(islice(found, _BATCH)):
            for path, obj, stamp in self._identify(batch):
                absent.discard(path)
                if files.get(path) != obj:
                    changes.append(Change(path, obj, files.get(path), stamp))
        changes += [Change(path, None, files[path], None) for path in absent if files[path]]
        return sorted(changes, key=lambda change: change.path), times

    def _find_data(self, times: dict[str, float]) -> Iterator[Found]:
        """Find the files that are data, and note when each was modified."""
        for path, info in self._find_files():
            if info is not None:
                times[path] = info.st_mtime
            if path not in self._target.metafiles:
                yield path, info

    def _find_files(self) -> Iterator[Found]:
        """Find each file that exists, once."""
        seen: set[str] = set()
        for folder in self._target.folders:
            obstacle = self._guard.inspect(folder, folder)
            if obstacle is None:
                continue
            for path, info in [(obstacle, None)] if obstacle else self._list_folder(folder):
                if path not in seen:
                    seen.add(path)
                    yield path, info
        for path in self._target.files.keys() - seen:
            for name in self._find_at(path):
                if name not in seen:
                    seen.add(name)
                    yield name, None

    def _list_folder(self, folder: str) -> Iterator[Found]:
        """List the files in a folder that ``.dvcignore`` does not exclude."""
        try:
            for name, info in walk_folder(self._root, folder):
                path = f"{folder}/{name}"
                if not TEMPORARY_NAME.search(name):
                    yield path, info
                elif self._clean:
                    os.unlink(os.path.join(self._root, path))
        except CaptureError as err:
            raise RestoreError(str(err)) from err

    def _delete_temporary(self) -> None:
        for folder in {os.path.dirname(path) for path in self._target.files}:
            full = os.path.join(self._root, folder)
            if self._guard.inspect(folder, folder) == "" and os.path.isdir(full):
                for name in filter(TEMPORARY_NAME.search, os.listdir(full)):
                    os.unlink(os.path.join(full, name))

    def _find_at(self, path: str) -> Iterator[str]:
        """Find the files at a path: itself, all in a folder of that name, or one above it."""
        obstacle = self._guard.inspect(path.rpartition("/")[0], path)
        if obstacle == "":
            full = os.path.join(self._root, path)
            try:
                is_folder = stat.S_ISDIR(os.lstat(full).st_mode)
            except FileNotFoundError:
                return
            yield from _list_all(self._root, full) if is_folder else [path]
        elif obstacle is not None:
            yield obstacle

    def _identify(
        self, found: Mapping[str, os.stat_result | None]
    ) -> Iterator[tuple[str, Obj, int | None]]:
        """Find out what files hold, and their stamps; the expected object is tried first."""
        infos: dict[str, os.stat_result] = {}
        prefix = self._root + os.sep
        for path, known_info in found.items():
            info = known_info or _read_stat(prefix + path)
            # A link stands for its target's bytes, unless it is broken, or the very one expected.
            wish = self._target.files.get(path)
            link = read_symlink(prefix + path) if info is None or is_symlink(wish) else None
            if link is not None and (info is None or link == wish):
                yield path, link, read_stamp(prefix + path)
            elif info is not None:
                if not stat.S_ISREG(info.st_mode):
                    raise UnsafePathError(path, "there is something that is not a file")
                infos[prefix + path] = info
        cut = len(prefix)
        expected: dict[str, Obj] = {}
        for full in infos:
            obj = self._target.files.get(full[cut:])
            if obj is not None and not is_symlink(obj):
                expected[full] = obj
        known = self._project.database.find_hashes(infos, expected)
        unknown: list[str] = []
        for full, info in infos.items():
            obj, wish = known.get(full), expected.get(full)
            if obj is not None and (wish is None or obj.hash_name == wish.hash_name):
                yield full[cut:], obj, to_stamp(info)
            else:
                unknown.append(full)
        self._progress.advance(files=len(found) - len(unknown))
        for full, obj in self._hash(unknown, expected):
            yield full[cut:], obj, to_stamp(infos[full])

    def _hash(
        self, files: Collection[str], expected: Mapping[str, Obj]
    ) -> Iterator[tuple[str, Obj]]:
        """Hash files, by absolute path, with the kind of hash that each is expected to have."""
        if not files:
            return
        names = [expected[full].hash_name if full in expected else "md5" for full in files]
        with ThreadPoolExecutor() as pool:
            values = pool.map(self._project.hash_file, files, names)
            for full, name, value in zip(files, names, values, strict=True):
                self._progress.advance(files=1)
                yield full, Obj(name, value)


def _list_all(root: str, full: str) -> Iterator[str]:
    """List the files and the links to folders in a folder where a file has to be."""
    for parent, folders, names in os.walk(full):
        path = os.path.relpath(parent, root).replace(os.sep, "/")
        if {".git", ".dvc"} & {*folders, *names}:
            raise UnsafePathError(path, "there is a Git repository or DVC project of its own")
        for name in (*names, *(f for f in folders if os.path.islink(os.path.join(parent, f)))):
            yield f"{path}/{name}"


def _read_stat(path: str) -> os.stat_result | None:
    """Read a file's stat; None for a link that leads nowhere, as into a deleted cache."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
