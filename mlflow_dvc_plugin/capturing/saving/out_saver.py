"""Save one out: find out what it really holds, and put that into the cache."""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

from mlflow_dvc_plugin.capturing.dvc_config import Config, find_cache_dir
from mlflow_dvc_plugin.capturing.formats.outs import Out
from mlflow_dvc_plugin.capturing.saving.limits import Limits, NotSavedError
from mlflow_dvc_plugin.capturing.saving.object_store import SMALL, ObjectStore
from mlflow_dvc_plugin.capturing.saving.progress_line import ProgressLine
from mlflow_dvc_plugin.capturing.saving.proofs import Proofs, to_stamp
from mlflow_dvc_plugin.capturing.workspace.cache import Cache
from mlflow_dvc_plugin.capturing.workspace.checks import FileCheck, find_members, has_same_outline
from mlflow_dvc_plugin.capturing.workspace.folders import list_folder
from mlflow_dvc_plugin.capturing.workspace.hashing import (
    find_known_hash,
    hash_file,
    remember_hash,
)
from mlflow_dvc_plugin.capturing.workspace.state_database import StateDatabase, find_database
from mlflow_dvc_plugin.file_copy import run_in_threads
from mlflow_dvc_plugin.named_tuple import NamedTuple
from mlflow_dvc_plugin.state import Entry, Status
from mlflow_dvc_plugin.state.objects import build_listing
from mlflow_dvc_plugin.system_calls import count_blocks

_ATTEMPTS = 3
_MAX_THREADS = 8
_BATCH_FILES, _BATCH_BYTES = 64, 1 << 22
# The system's clock for files is no coarser: a later write has a later timestamp.
_TICK_NS = 20_000_000
# Saving can read what is in doubt, so it believes DVC's record of a file only if the two
# timestamps of its last write are from the same moment. A file that is older than the copy in
# the cache could have been edited before, with its time set back: DVC does not see that.
_SAME_WRITE_NS = 5_000_000
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_NEVER = float("inf")

# What this process may do: save; save, but read first, because another process is saving as
# well; only find out whether everything is saved; or only find out what would be saved.
Mode = Literal["save", "share", "check", "look"]


class _ChangedError(Exception):
    """A file changed while it was being read."""


class Outcome(NamedTuple):
    """What an out really is, or the reason why that is not saved.

    `files` and `size` (bytes) are what was saved just now, or would be.
    """

    entry: Entry
    status: Status = "clean"
    files: int = 0
    size: int = 0
    reason: str = ""


@dataclass
class OutSaver:
    """Saves the outs of a project; to be closed afterwards."""

    project: str
    config: Config
    mode: Mode
    most: int | None  # bytes

    def __post_init__(self) -> None:
        if "local" in self.config.get("cache", {}):
            raise NotSavedError("DVC's old setting cache.local is not supported; use cache.dir")
        self._cache = Cache(find_cache_dir(self.config, self.project))
        self._progress = ProgressLine()
        # The files that were written to since DVC hashed them.
        self._written: set[str] = set()

    @cached_property
    def _store(self) -> ObjectStore:
        folder = find_cache_dir(self.config, self.project)
        shared = self.config.get("cache", {}).get("shared", "").lower() == "group"
        return ObjectStore(folder, self._limits, shared=shared, report=self._progress.advance)

    @cached_property
    def _limits(self) -> Limits:
        return Limits(self.most, find_cache_dir(self.config, self.project))

    @cached_property
    def _database(self) -> StateDatabase:
        return StateDatabase(find_database(self.project, self.config))

    def close(self) -> None:
        """Close the cache and the database."""
        for name in ("_store", "_database"):
            if name in self.__dict__:
                getattr(self, name).close()
        self._progress.close()

    # -- single files --------------------------------------------------------------

    def save_files(self, outs: Mapping[str, tuple[Out, os.stat_result]]) -> dict[str, Outcome]:
        """Save outs that are files, by any key, each with its stat."""
        looked = time.time_ns()
        files = {}
        for path, (out, info) in outs.items():
            expected = out.entry.hash if out.entry.hash_name == "md5" else None
            files[path] = FileCheck(out.path, info, "md5", expected, 0)
        proofs = Proofs(self.project, "")
        unproven = proofs.apply(files)
        if unproven:
            self._prove(unproven, self._database.find_records(file.path for file in unproven))
        has_unread = any(file.found is None for file in unproven)
        outcomes = {}
        for path, file in files.items():
            entry = outs[path][0].entry
            outcomes[path] = self._attempt(entry, partial(self._save_file, entry, file))
        if has_unread:
            proofs.save(files, looked)
        return outcomes

    def _save_file(self, entry: Entry, file: FileCheck) -> Outcome:
        looked, info = time.time_ns(), os.stat(file.path)
        if to_stamp(info) != to_stamp(file.info):
            file.info, file.found = info, None
        self._progress.begin(entry.path, info.st_size)
        # A file of the recorded size is probably unchanged: do not copy it before that is known.
        is_new = file.expected is None or entry.size not in (None, info.st_size)
        self._read([file], is_new)
        entry = entry._replace(isexec=bool(info.st_mode & _EXECUTABLE))
        if file.found == file.expected:
            return Outcome(entry)
        missing = self._save_missing([file])
        if to_stamp(os.stat(file.path)) != to_stamp(info):
            raise _ChangedError
        _remember([file], looked)
        found = entry._replace(
            hash_name="md5", hash=file.found, size=info.st_size, nfiles=None, isdir=False
        )
        return Outcome(found, "saved", *missing)

    # -- folders -------------------------------------------------------------------

    def save_folder(self, out: Out) -> Outcome:
        """Save an out that is a folder."""
        return self._attempt(out.entry, partial(self._save_folder, out))

    def _save_folder(self, out: Out) -> Outcome:
        entry, looked = out.entry, time.time_ns()
        listed = self._list(entry.path)
        is_md5 = entry.hash_name == "md5" and entry.hash is not None
        members = find_members(out, self._cache) if is_md5 else None
        files = {
            name: FileCheck(f"{out.path}{os.sep}{name}", info, "md5", (members or {}).get(name), 0)
            for name, info in listed.items()
        }
        proofs = Proofs(self.project, entry.path)
        unproven = proofs.apply(files)
        if unproven:
            self._prove(unproven, self._database.find_records_below(out.path))
        size = sum(info.st_size for info in listed.values())
        unread = [file for file in unproven if file.found is None]
        self._progress.begin(entry.path, size)
        self._read(unread, not (is_md5 and has_same_outline(listed, members, entry)))
        outcome = Outcome(entry)
        is_equal = members is not None and members.keys() == files.keys()
        if not is_equal or any(file.found != file.expected for file in files.values()):
            obj, data = build_listing({name: str(file.found) for name, file in files.items()})
            if (entry.hash_name, entry.hash) != (obj.hash_name, obj.value):
                missing = self._save_missing(files.values())
                if unread or missing[0]:
                    self._check_unchanged(entry.path, files)
                if self.mode != "look" and not self._store.has(obj.value, len(data)):
                    self._check_may_save()
                    self._store.save_listing(data, obj.value)
                _remember(unproven, looked)
                found = entry._replace(
                    hash_name="md5", hash=obj.value, size=size, nfiles=len(files), isdir=True
                )
                outcome = Outcome(found, "saved", *missing)
        if unread or (unproven and outcome.status == "saved"):
            proofs.save(files, looked)
        return outcome

    def _list(self, path: str) -> dict[str, os.stat_result]:
        listed = list_folder(self.project, path, _NEVER)
        if listed is None:
            raise NotSavedError("something in it cannot be read, or is a link that leads nowhere")
        for name, info in listed.items():
            if name.rpartition("/")[2] == ".dvcignore":
                raise NotSavedError(f"it has {name} in it, and DVC refuses such folders")
            if not stat.S_ISREG(info.st_mode):
                raise NotSavedError(f"{name} in it is not a file")
        return listed

    def _check_unchanged(self, path: str, files: Mapping[str, FileCheck]) -> None:
        """Raise a _ChangedError unless a folder has the same files as before."""
        now = {name: to_stamp(info) for name, info in self._list(path).items()}
        if now != {name: to_stamp(file.info) for name, file in files.items()}:
            raise _ChangedError

    # -- both ----------------------------------------------------------------------

    def _attempt(self, entry: Entry, save: Callable[[], Outcome]) -> Outcome:
        for _ in range(_ATTEMPTS):
            try:
                return save()
            except (_ChangedError, FileNotFoundError):  # noqa: PERF203 - it is rarely raised
                reason = "it changed while it was being saved"
            except NotSavedError as err:
                reason = str(err)
                break
            except OSError as err:
                reason = f"{err.strerror} ({err.filename})" if err.filename else str(err)
                break
        return Outcome(entry, "modified", reason=reason)

    def _prove(self, files: Iterable[FileCheck], records: Mapping[str, str]) -> None:
        """Find hashes without reading: by DVC's records of files, by links, in this process."""
        for file in files:
            record = records.get(file.path)
            file.use_record(record, _SAME_WRITE_NS)
            if file.found is None and record is not None:
                self._written.add(file.path)
            if file.found is None:
                file.use_link(self._cache)
            if file.found is None:
                file.found = find_known_hash(file.path, file.info, "md5")

    def _read(self, files: Iterable[FileCheck], is_new: bool) -> None:
        """Read the files that are not proven, and save those on the way that are probably new.

        With `is_new`, that is each of them; else those that were written to since DVC hashed them.
        """
        unread = [file for file in files if file.found is None]
        if not unread:
            return
        newest = max(max(file.info.st_mtime_ns, file.info.st_ctime_ns) for file in unread)
        wait = newest + _TICK_NS - time.time_ns()
        if 0 < wait <= _TICK_NS:
            time.sleep(wait / 1e9)
        new = unread if is_new else [file for file in unread if file.path in self._written]
        store = self._store if new and self.mode == "save" and self._has_room(new) else None

        def read(batch: list[FileCheck]) -> None:
            for file in batch:
                is_probably_new = is_new or file.path in self._written
                if store is not None and is_probably_new and not _is_probably_cached(store, file):
                    file.found = store.save_file(file.path, file.info)
                    continue
                report = self._progress.advance
                file.found = hash_file(file.path, file.info, "md5", _NEVER, report)
                if file.found is None:
                    with open(file.path, "rb"):  # if it cannot be read, this tells why
                        raise _ChangedError

        _run(read, unread)

    def _has_room(self, files: Iterable[FileCheck]) -> bool:
        """Is there room for all of the files, if the cache has none of them?"""
        try:
            self._check_limits(list(files))
        except NotSavedError:
            return False  # reading them first tells how many are new
        return True

    def _check_limits(self, files: list[FileCheck]) -> None:
        size = sum(file.info.st_size for file in files)
        on_disk = sum(count_blocks(file.info) for file in files)
        try:
            self._limits.check(size, on_disk)
        except NotSavedError:
            if not files or not self._store.can_reflink(files[0].path):
                raise
            self._limits.check(size, 0)

    def _save_missing(self, files: Iterable[FileCheck]) -> tuple[int, int]:
        """Save the files whose objects the cache lacks; return their number and bytes."""
        store, by_hash = self._store, {str(file.found): file for file in files}
        missing = [f for v, f in by_hash.items() if not store.has(v, f.info.st_size)]
        counts = len(missing), sum(file.info.st_size for file in missing)
        if missing and self.mode != "look":
            self._check_may_save()
            self._check_limits(missing)
            # Processes that save the same at once do not do so in the same order.
            random.shuffle(missing)

            def save(batch: list[FileCheck]) -> None:
                for file in batch:
                    # By now another process may have saved it.
                    if not store.has(str(file.found), file.info.st_size) and (
                        store.save_file(file.path, file.info) != file.found
                    ):
                        raise _ChangedError

            _run(save, missing)
        return counts

    def _check_may_save(self) -> None:
        if self.mode == "check":
            raise NotSavedError("only rank 0 saves data, and has not saved it yet")


def _remember(files: Iterable[FileCheck], looked_ns: int) -> None:
    """Let this process know the hashes later, such as at the end of the run."""
    for file in files:
        remember_hash(file.path, file.info, "md5", str(file.found), looked_ns)


def _is_probably_cached(store: ObjectStore, file: FileCheck) -> bool:
    """Is it better to read a file before it is copied, since the cache may have its bytes?"""
    size = file.info.st_size
    return size > SMALL and file.expected is not None and store.has(file.expected, size)


def _run(work: Callable[[list[FileCheck]], None], files: list[FileCheck]) -> None:
    """Do some work on files, in threads if they are many or large."""
    batches = list(_divide(files))
    if len(batches) == 1:
        work(batches[0])
        return
    for _ in run_in_threads(work, batches, min(os.cpu_count() or 1, _MAX_THREADS)):
        pass


def _divide(files: Iterable[FileCheck]) -> Iterator[list[FileCheck]]:
    batch: list[FileCheck] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.info.st_size
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
