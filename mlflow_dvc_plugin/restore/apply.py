"""Change the workspace: each file is written beside its place and renamed in."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.objects import Obj
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restore.plan import Change
from mlflow_dvc_plugin.restore.wanted import Wanted

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc import DvcProject

_CHUNK = 1024 * 1024
_LARGE = 4 * 1024 * 1024  # bytes
_SHARE = 100  # files
_THREADS = 3  # one hashes a large file while two go on with the small ones
# What a file system answers when it does not know a kind of link.
_UNSUPPORTED = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EXDEV,
    errno.ENOTTY,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EAGAIN,
    errno.EMLINK,
}


def apply(
    project: DvcProject,
    root: str,
    changes: Sequence[Change],
    wanted: Wanted,
    *,
    link_types: Sequence[str],
    progress: Progress,
) -> int:
    """Make the changes; killed at any instant, a second call completes them.

    Args:
        project: the open project; its cache holds every new object.
        root: absolute path that the changes' paths are relative to.
        changes: what has to change.
        wanted: the outs that the changes belong to.
        link_types: kinds of links that work, the preferred one first.
        progress: hears of files and bytes.

    Returns:
        Bytes written.

    Raises:
        RestoreError: an object in the cache has other bytes than its name says.
        OSError: the disk is full, or a folder cannot be written to.
    """
    for change in changes:
        if change.new is None:
            _remove(os.path.join(root, change.path))
    keep = {os.path.join(root, folder) for folder in (*wanted.folders, *wanted.kept)}
    _remove_empty(root, [c.path for c in changes if c.new is None], keep)
    writes = {os.path.join(root, c.path): c.new for c in changes if c.new is not None}
    for folder in keep | {os.path.dirname(target) for target in writes}:
        os.makedirs(folder, exist_ok=True)
    place = _Placer(project, link_types)
    written: dict[str, Obj] = {}
    total = 0

    def put(targets: Sequence[str]) -> list[tuple[str, int]]:
        return [(t, place(writes[t], t)) for t in targets]

    pool = ThreadPoolExecutor(_THREADS)
    try:
        tasks = [pool.submit(put, targets) for targets in _shares(project, writes)]
        for done in as_completed(tasks):
            for target, size in done.result():
                written[target] = writes[target]
                total += size
                progress.advance(files=1, size=size)
    finally:
        pool.shutdown(cancel_futures=True)
        project.database.remember(written)
    return total


def _shares(project: DvcProject, writes: Mapping[str, Obj]) -> Iterator[list[str]]:
    """The files to write as shares of work: large files alone and first, small ones together."""
    small = []
    for target, obj in writes.items():
        if os.stat(project.cache.path(obj)).st_size > _LARGE:
            yield [target]
        else:
            small.append(target)
    for start in range(0, len(small), _SHARE):
        yield small[start : start + _SHARE]


def temporary_beside(target: str) -> str:
    """A name in the same folder for a file on its way; long names leave no room for more."""
    return os.path.join(os.path.dirname(target), f".{uuid.uuid4().hex[:16]}.mlflow-dvc-tmp")


class _Placer:
    """Puts objects in their places, by the first kind of link that works."""

    def __init__(self, project: DvcProject, link_types: Sequence[str]) -> None:
        self._project = project
        self._types = tuple(link_types)
        self._token = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()

    def __call__(self, obj: Obj, target: str) -> int:
        """Put `obj` at `target`; its size in bytes."""
        # Long names leave no room for more: the name beside is made anew.
        name = f".{self._token}{next(self._numbers):08x}.mlflow-dvc-tmp"
        beside = os.path.join(os.path.dirname(target), name)
        try:
            kind = self._make(self._project.cache.path(obj), beside, obj)
            info = os.stat(beside)
            try:
                os.replace(beside, target)
            except IsADirectoryError:
                _remove_empty_tree(target)
                os.replace(beside, target)
            if kind == "hardlink":
                # Renaming one hardlink of a file over another one leaves both.
                _remove(beside)
        except BaseException:
            _remove(beside)
            raise
        return info.st_size

    def _make(self, source: str, beside: str, obj: Obj) -> str:
        for kind in self._types:
            if kind == "copy":
                _copy(source, beside, self._digest_of(obj), obj)
                return kind
            try:
                self._project.links.make(kind, source, beside)
            except OSError as err:
                if err.errno not in _UNSUPPORTED:
                    raise
            else:
                return kind
        raise RestoreError("None of the project's link types works here: see cache.type in DVC.")

    def _digest_of(self, obj: Obj) -> Callable[[str], str] | None:
        """How to check a copy afterwards, for hashes that are not of the plain bytes."""
        if obj.hash_name == "md5":
            return None
        return lambda path: self._project.hash_file(path, obj.hash_name)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _copy(source: str, target: str, check: Callable[[str], str] | None, obj: Obj) -> None:
    """Copy a file, and check on the way that it is the object that it is said to be."""
    digest = hashlib.md5(usedforsecurity=False)
    old = os.open(source, os.O_RDONLY)
    try:
        new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            while chunk := os.read(old, _CHUNK):
                digest.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(new, view) :]
        finally:
            os.close(new)
    finally:
        os.close(old)
    found = check(target) if check else digest.hexdigest()
    if found != obj.value:
        raise RestoreError(f"The cache object {obj.value} is corrupt: run `dvc fetch` again.")


def _remove_empty_tree(folder: str) -> None:
    """Remove a folder that has nothing but folders in it."""
    for path, _, _ in os.walk(folder, topdown=False):
        os.rmdir(path)


def _remove_empty(root: str, deleted: Sequence[str], keep: set[str]) -> None:
    """Remove the folders that the deletion of files left empty."""
    for path in sorted(deleted, reverse=True):
        folder = os.path.dirname(os.path.join(root, path))
        while folder not in keep and len(folder) > len(root):
            try:
                os.rmdir(folder)
            except OSError:
                break
            folder = os.path.dirname(folder)
