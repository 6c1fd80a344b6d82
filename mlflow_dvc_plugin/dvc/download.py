"""Bring a remote's objects into the cache, each verified before it is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dvc_objects.fs import generic
from dvc_objects.fs.local import localfs
from fsspec.callbacks import Callback

from mlflow_dvc_plugin.dvc.cache import Cache
from mlflow_dvc_plugin.dvc.hashing import is_file_of
from mlflow_dvc_plugin.dvc.reasons import reason
from mlflow_dvc_plugin.objects import Obj
from mlflow_dvc_plugin.progress import Progress


def download(
    source: Any, objs: Sequence[Obj], cache: Cache, jobs: int | None, progress: Progress
) -> dict[Obj, str]:
    """Bring objects into the cache.

    Args:
        source: the part of a remote, as DVC opened it, that has them.
        objs: what to bring.
        cache: where to.
        jobs: how many at once; None for DVC's own choice.
        progress: hears of files and bytes.

    Returns:
        The objects that could not be had, and why.
    """
    failed: dict[Obj, str] = {}
    with cache.staging() as folder:
        staged = {os.path.join(folder, str(n)): obj for n, obj in enumerate(objs)}

        def on_error(_: str, to_path: str, err: BaseException) -> None:
            failed[staged[to_path]] = reason(err)

        def take_in(item: tuple[str, Obj]) -> tuple[Obj, str]:
            path, obj = item
            try:
                if not is_file_of(path, obj):
                    return obj, "the remote has other bytes under this hash"
                cache.adopt(path, obj)
            except OSError as err:
                return obj, reason(err)
            return obj, ""

        try:
            generic.transfer(
                source.fs,
                [source.oid_to_path(obj.value) for obj in objs],
                localfs,
                list(staged),
                callback=ByteCount(progress),
                batch_size=jobs,
                on_error=on_error,
            )
        except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
            why = reason(err)
            failed.update((obj, why) for path, obj in staged.items() if not os.path.exists(path))
        arrived = [(p, obj) for p, obj in staged.items() if obj not in failed]
        with ThreadPoolExecutor() as pool:
            for obj, why in pool.map(take_in, arrived):
                if why:
                    failed[obj] = why
                progress.advance(files=1)
        cache.remember(obj for _, obj in arrived if obj not in failed)
    return failed


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
