"""Change the workspace: each file is written beside its place and renamed in."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Sequence

from mlflow_dvc_plugin.dvc import DvcProject, Obj
from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restore.plan import Change
from mlflow_dvc_plugin.restore.wanted import Wanted

_CHUNK = 1024 * 1024
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
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(root, change.path))
    keep = {os.path.join(root, folder) for folder in wanted.folders}
    _remove_empty(root, [c.path for c in changes if c.new is None], keep)
    for folder in keep:
        os.makedirs(folder, exist_ok=True)
    written: dict[str, Obj] = {}
    total = 0
    place = _Placer(project, link_types)
    try:
        for change in changes:
            if change.new is None:
                continue
            target = os.path.join(root, change.path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            size = place(change.new, target, change.path in wanted.executable)
            written[target] = change.new
            total += size
            progress.advance(files=1, size=size)
    finally:
        project.remember(written)
    return total


class _Placer:
    """Puts objects in their places, by the first kind of link that works."""

    def __init__(self, project: DvcProject, link_types: Sequence[str]) -> None:
        self._project = project
        self._types = list(link_types)

    def __call__(self, obj: Obj, target: str, executable: bool) -> int:
        source = self._project.cache_path(obj)
        folder = os.path.dirname(target)
        # Long names leave no room for more: the name beside is made anew.
        beside = os.path.join(folder, f".{uuid.uuid4().hex[:16]}.mlflow-dvc-tmp")
        if os.path.isdir(target) and not os.path.islink(target):
            os.rmdir(target)
        try:
            self._make(source, beside, obj)
            if executable:
                os.chmod(beside, os.stat(beside).st_mode | stat.S_IEXEC)
            size = os.stat(beside).st_size
            os.replace(beside, target)
        finally:
            # Renaming one hardlink of a file over another one leaves both.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
        return size

    def _make(self, source: str, beside: str, obj: Obj) -> None:
        while self._types:
            kind = self._types[0]
            if kind == "copy":
                _copy(source, beside, self._digest_of(obj), obj)
                return
            try:
                self._project.link(kind, source, beside)
                return
            except OSError as err:
                if err.errno not in _UNSUPPORTED:
                    raise
            del self._types[0]
        raise RestoreError("None of the project's link types works here: see cache.type in DVC.")

    def _digest_of(self, obj: Obj) -> Callable[[str], str] | None:
        """How to check a copy afterwards, for hashes that are not of the plain bytes."""
        if obj.hash_name == "md5":
            return None
        return lambda path: self._project.hash_file(path, obj.hash_name)


def _copy(source: str, target: str, check: Callable[[str], str] | None, obj: Obj) -> None:
    """Copy a file, and check on the way that it is the object that it is said to be."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(source, "rb", buffering=0) as old, open(target, "xb", buffering=0) as new:
        while chunk := old.read(_CHUNK):
            digest.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[new.write(view) :]
    found = check(target) if check else digest.hexdigest()
    if found != obj.value:
        raise RestoreError(f"The cache object {obj.value} is corrupt: run `dvc fetch` again.")


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
