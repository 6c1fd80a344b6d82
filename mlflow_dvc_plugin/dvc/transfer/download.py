"""Bring a remote's objects into the cache, each verified before it is there."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from dvc_objects.fs import generic
from dvc_objects.fs.local import localfs
from fsspec.callbacks import Callback

from mlflow_dvc_plugin.dvc.cache import Cache
from mlflow_dvc_plugin.dvc.errors import NOT_IN_REMOTE, describe_error
from mlflow_dvc_plugin.dvc.file_copy import copy, create_file, run_in_threads
from mlflow_dvc_plugin.dvc.hashing import has_object_bytes, to_digest
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import Obj

_BATCH = 4096  # files
_SHARE = 50  # files
_THREADS = 2
_OTHER_BYTES = "the remote has other bytes under this hash"


class _Brought(NamedTuple):
    """What became of some objects: the stat of each that arrived, and why others did not."""

    arrived: dict[Obj, os.stat_result]
    lost: dict[Obj, str]


def download(
    source: Any, objs: Sequence[Obj], cache: Cache, jobs: int | None, progress: Progress
) -> dict[Obj, str]:
    """Bring objects into the cache.

    Args:
        source: the part of a remote, as DVC opened it, that has them.
        objs: what to bring.
        cache: where to.
        jobs: how many at once; None for what suits the remote.
        progress: hears of files and bytes.

    Returns:
        The objects that could not be had, and why.

    Raises:
        DvcError: the cache's disk is full.
    """
    failed: dict[Obj, str] = {}
    with cache.create_staging() as folder:
        brought: Iterable[_Brought]
        if source.fs.protocol == "local":
            copier = _Copier(source, cache, folder, progress)
            brought = run_in_threads(copier, _parts(objs, _SHARE), jobs or _THREADS)
        else:
            transfer = _Transfer(source, cache, folder, jobs, progress)
            brought = map(transfer, _parts(objs, _BATCH))
        for arrived, lost in brought:
            cache.save_hashes(arrived)
            failed.update(lost)
            progress.advance(files=len(arrived) + len(lost))
    if os.strerror(errno.ENOSPC) in failed.values():
        raise DvcError(
            f"The disk of the DVC cache ({cache.folders[0]}) is full: make room, then run the "
            "same command again. What arrived is in the cache, nothing else was touched."
        )
    return failed


def _parts(objs: Sequence[Obj], size: int) -> Iterable[Sequence[Obj]]:
    return (objs[start : start + size] for start in range(0, len(objs), size))


class _Copier:
    """Copies objects from a remote that is a folder: each is read once, and by us.

    DVC's own way takes several times as long, and reads each file twice.
    """

    def __init__(self, source: Any, cache: Cache, folder: str, progress: Progress) -> None:
        self._source = source
        self._cache = cache
        self._folder = folder
        self._progress = progress
        self._numbers = itertools.count()
        self._can_reflink = True

    def __call__(self, objs: Sequence[Obj]) -> _Brought:
        brought = _Brought({}, {})
        for obj in objs:
            staged = f"{self._folder}{os.sep}{next(self._numbers)}"
            try:
                same, info = self._stage(self._source.oid_to_path(obj.value), staged, obj)
                if same:
                    self._cache.move_in(staged, obj)
                    brought.arrived[obj] = info
                else:
                    brought.lost[obj] = _OTHER_BYTES
            except OSError as err:
                brought.lost[obj] = describe_error(err)
        self._progress.advance(size=sum(info.st_size for info in brought.arrived.values()))
        return brought

    def _stage(self, source: str, staged: str, obj: Obj) -> tuple[bool, os.stat_result]:
        """Copy a file: does it have the object's bytes, and its stat."""
        if self._can_reflink:
            try:
                localfs.reflink(source, staged)
            except FileNotFoundError:
                raise
            except OSError:
                self._can_reflink = False
            else:
                return has_object_bytes(staged, obj), os.stat(staged)
        with create_file(staged) as new:
            found, info = copy(source, new)
        if obj.hash_name != "md5":
            return has_object_bytes(staged, obj), info
        return found == to_digest(obj), info


class _Transfer:
    """Brings objects the way that DVC does it, from any kind of remote."""

    def __init__(
        self, source: Any, cache: Cache, folder: str, jobs: int | None, progress: Progress
    ) -> None:
        self._source = source
        self._cache = cache
        self._folder = folder
        self._jobs = jobs
        self._progress = progress
        self._numbers = itertools.count()

    def __call__(self, objs: Sequence[Obj]) -> _Brought:
        staged = {os.path.join(self._folder, str(next(self._numbers))): obj for obj in objs}
        brought = _Brought({}, self._bring(staged))
        there = [(path, obj) for path, obj in staged.items() if obj not in brought.lost]
        with ThreadPoolExecutor() as pool:
            for (_, obj), info in zip(there, pool.map(self._take_in, there), strict=True):
                if isinstance(info, str):
                    brought.lost[obj] = info
                else:
                    brought.arrived[obj] = info
        return brought

    def _bring(self, staged: Mapping[str, Obj]) -> dict[Obj, str]:
        """Bring what the remote has; why the others could not be had."""
        lost: dict[Obj, str] = {}

        def on_error(_: str, to_path: str, err: BaseException) -> None:
            lost[staged[to_path]] = describe_error(err)

        waiting = list(staged)
        while waiting:
            known = len(lost)
            why = "it did not arrive"
            try:
                generic.transfer(
                    self._source.fs,
                    [self._source.oid_to_path(staged[path].value) for path in waiting],
                    localfs,
                    waiting,
                    # Trying links first, DVC gives up if the very first file is missing.
                    links=["copy"],
                    callback=ByteCount(self._progress),
                    batch_size=self._jobs,
                    on_error=on_error,
                )
            except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
                why = describe_error(err)
            waiting = [p for p in waiting if staged[p] not in lost and not os.path.exists(p)]
            new = list(lost.values())[known:]
            # Some kinds of remotes give up at one that is missing, though they have the others.
            if set(new) != {NOT_IN_REMOTE}:
                why = new[-1] if new else why
                lost.update({staged[path]: why for path in waiting})
                break
        return lost

    def _take_in(self, item: tuple[str, Obj]) -> os.stat_result | str:
        """Verify a staged file: its stat, or what is wrong with it."""
        path, obj = item
        try:
            info = os.stat(path)
            if not has_object_bytes(path, obj):
                return _OTHER_BYTES
            self._cache.move_in(path, obj)
        except OSError as err:
            return describe_error(err)
        return info


class ByteCount(Callback):  # type: ignore[misc]
    """Counts the bytes of all files that are on their way."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def branched(self, *_: Any, **__: Any) -> _FileBytes:
        """A counter for one of the files."""
        return _FileBytes(self._progress)


class _FileBytes(Callback):  # type: ignore[misc]
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def relative_update(self, inc: int = 1) -> None:
        self._progress.advance(size=inc)
        super().relative_update(inc)

    def absolute_update(self, value: int) -> None:
        self._progress.advance(size=value - self.value)
        super().absolute_update(value)
