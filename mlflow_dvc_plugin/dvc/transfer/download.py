"""Download a remote's objects to a cache or to files, each verified before it gets there."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from dvc_objects.fs import generic
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.dvc.errors import NOT_IN_REMOTE, describe_error
from mlflow_dvc_plugin.dvc.hashing import has_object_bytes, to_digest
from mlflow_dvc_plugin.dvc.transfer.counters import ByteCounter, FileHasher
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.file_copy import copy, create_file, run_in_threads
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import Obj

_BATCH = 4096  # files
_SHARE = 50  # files
_THREADS = 2
OTHER_BYTES = "the remote has other bytes under this hash"


class Store(Protocol):
    """Where objects are brought: a cache, or the files that a user wants.

    `folders` are absolute paths on its disk.
    """

    folders: list[str]

    def create_staging(self) -> AbstractContextManager[str]:
        """Create a folder on its disk for files that are not verified yet."""

    def move_in(self, staged: str, obj: Obj) -> None:
        """Move a verified file to its place."""

    def save_hashes(self, objs: Mapping[Obj, os.stat_result]) -> None:
        """Note which objects were verified, with their stat at that time."""


class _Batch(NamedTuple):
    """The result for some objects: the stat of each that arrived, and why the others did not."""

    arrived: dict[Obj, os.stat_result]
    failed: dict[Obj, str]


def download(
    source: Any, objs: Sequence[Obj], store: Store, jobs: int | None, progress: Progress
) -> dict[Obj, str]:
    """Download objects from a part of a remote; return the reasons for those that failed."""
    failed: dict[Obj, str] = {}
    with store.create_staging() as folder:
        batches: Iterable[_Batch]
        if source.fs.protocol == "local":
            copier = _Copier(source, store, folder, progress)
            batches = run_in_threads(copier.copy, _divide(objs, _SHARE), jobs or _THREADS)
        else:
            transfer = _Transfer(source, store, folder, jobs, progress)
            batches = map(transfer.download, _divide(objs, _BATCH))
        for batch in batches:
            store.save_hashes(batch.arrived)
            failed.update(batch.failed)
            progress.advance(files=len(batch.arrived) + len(batch.failed))
    if os.strerror(errno.ENOSPC) in failed.values():
        raise DvcError(
            f"The disk of the DVC cache ({store.folders[0]}) is full: make room, then run the "
            "same command again. The objects that arrived are in the cache; nothing else was "
            "changed."
        )
    return failed


def _divide(objs: Sequence[Obj], size: int) -> Iterable[Sequence[Obj]]:
    return (objs[start : start + size] for start in range(0, len(objs), size))


@dataclass
class _Copier:
    """Copies objects from a remote that is a folder, and reads each of them once.

    DVC's own way reads each file twice, and takes several times as long.
    """

    source: Any
    store: Store
    folder: str
    progress: Progress
    numbers: Iterator[int] = field(default_factory=itertools.count)
    can_reflink: bool = True

    def copy(self, objs: Sequence[Obj]) -> _Batch:
        batch = _Batch({}, {})
        for obj in objs:
            staged = f"{self.folder}{os.sep}{next(self.numbers)}"
            try:
                same, info = self._stage(self.source.oid_to_path(obj.value), staged, obj)
                if same:
                    self.store.move_in(staged, obj)
                    batch.arrived[obj] = info
                else:
                    batch.failed[obj] = OTHER_BYTES
            except OSError as err:
                batch.failed[obj] = describe_error(err)
        self.progress.advance(size=sum(info.st_size for info in batch.arrived.values()))
        return batch

    def _stage(self, source: str, staged: str, obj: Obj) -> tuple[bool, os.stat_result]:
        """Copy a file; tell whether it has the object's bytes, and its stat."""
        if self.can_reflink:
            try:
                localfs.reflink(source, staged)
            except FileNotFoundError:
                raise
            except OSError:
                self.can_reflink = False
            else:
                return has_object_bytes(staged, obj), os.stat(staged)
        with create_file(staged) as new:
            found, info = copy(source, new)
        if obj.hash_name != "md5":
            return has_object_bytes(staged, obj), info
        return found == to_digest(obj), info


@dataclass
class _Transfer:
    """Downloads objects in the way that DVC does, from any kind of remote."""

    source: Any
    store: Store
    folder: str
    jobs: int | None
    progress: Progress
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def download(self, objs: Sequence[Obj]) -> _Batch:
        staged = {os.path.join(self.folder, str(next(self.numbers))): obj for obj in objs}
        if len(staged) == 1:
            return self._download_alone(*next(iter(staged.items())))
        batch = _Batch({}, self._transfer(staged))
        files = [(path, obj) for path, obj in staged.items() if obj not in batch.failed]
        with ThreadPoolExecutor() as pool:
            for (_, obj), info in zip(files, pool.map(self._move_in, files), strict=True):
                if isinstance(info, str):
                    batch.failed[obj] = info
                else:
                    batch.arrived[obj] = info
        return batch

    def _download_alone(self, staged: str, obj: Obj) -> _Batch:
        """Download a single object, which may be large, and hash it meanwhile."""
        source, options = self.source.fs, {}
        if hasattr(source.fs, "max_concurrency"):
            options["max_concurrency"] = self.jobs or source.jobs
        hasher = FileHasher(staged, self.progress)
        try:
            source.get_file(self.source.oid_to_path(obj.value), staged, callback=hasher, **options)
        except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
            return _Batch({}, {obj: describe_error(err)})
        finally:
            digest = hasher.finish()
        is_verified = obj.hash_name == "md5" and digest == to_digest(obj)
        info = self._move_in((staged, obj), is_verified)
        return _Batch({}, {obj: info}) if isinstance(info, str) else _Batch({obj: info}, {})

    def _transfer(self, staged: Mapping[str, Obj]) -> dict[Obj, str]:
        """Download what the remote has; return the reasons for the other objects."""
        failed: dict[Obj, str] = {}

        def on_error(_: str, to_path: str, err: BaseException) -> None:
            failed[staged[to_path]] = describe_error(err)

        waiting = list(staged)
        while waiting:
            known = len(failed)
            reason = "it did not arrive"
            try:
                generic.transfer(
                    self.source.fs,
                    [self.source.oid_to_path(staged[path].value) for path in waiting],
                    localfs,
                    waiting,
                    # DVC tries links first, and then gives up if the first file is missing.
                    links=["copy"],
                    callback=ByteCounter(self.progress),
                    batch_size=self.jobs,
                    on_error=on_error,
                )
            except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
                reason = describe_error(err)
            waiting = [p for p in waiting if staged[p] not in failed and not os.path.exists(p)]
            new = list(failed.values())[known:]
            # Some kinds of remotes stop at a missing object, though they have the others.
            if set(new) != {NOT_IN_REMOTE}:
                reason = new[-1] if new else reason
                failed.update({staged[path]: reason for path in waiting})
                break
        return failed

    def _move_in(self, item: tuple[str, Obj], is_verified: bool = False) -> os.stat_result | str:
        """Verify a staged file and move it into the cache; return its stat, or what is wrong."""
        path, obj = item
        try:
            info = os.stat(path)
            if not is_verified and not has_object_bytes(path, obj):
                return OTHER_BYTES
            self.store.move_in(path, obj)
        except OSError as err:
            return describe_error(err)
        return info
