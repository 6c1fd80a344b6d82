"""Put one file in its place: whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.dvc.file_copy import clone, copy, create_file
from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring.files import stamps as meanwhile
from mlflow_dvc_plugin.restoring.files.temporary import Names
from mlflow_dvc_plugin.state.objects import Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

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
_ANYONE = 0o666  # the permissions of a new file, less the umask
# Linux can write a file that has no name yet.
_UNNAMED: int | None = getattr(os, "O_TMPFILE", None)


class Placer:
    """Puts objects in their places, by the first kind of link that works.

    Args:
        project: the open project; its cache holds the objects.
        link_types: kinds of links that work, the preferred one first.
    """

    def __init__(self, project: DvcProject, link_types: Sequence[str]) -> None:
        self._project = project
        self._types = tuple(link_types)
        self._names = Names()
        self._unnamed = _UNNAMED is not None and self._types[:1] == ("copy",)

    def __call__(self, obj: Obj, target: str, seen: int | None) -> os.stat_result:
        """Put an object at a path, in place of what was seen there.

        Args:
            obj: the object.
            target: absolute path, in a folder that is there.
            seen: the stamp of the file that is to be replaced; None for nothing.

        Returns:
            The stat of the file.

        Raises:
            RestoreError: the object has other bytes than its name says, or
                another program wrote to the file.
            OSError: the disk is full, or the folder cannot be written to.
        """
        info = None
        if self._unnamed and seen is None and obj.hash_name == "md5":
            info = self._appear(obj, target)
        return info or self._replace(obj, target, seen)

    def _appear(self, obj: Obj, target: str) -> os.stat_result | None:
        """Copy an object to where nothing is: there is no moment in which it is there by half.

        None, and no file, if something is there, or the system cannot.
        """
        assert _UNNAMED is not None
        try:
            new = os.open(os.path.dirname(target), os.O_WRONLY | _UNNAMED, _ANYONE)
        except OSError:
            self._unnamed = False
            return None
        try:
            info = self._fill(new, obj)
            if stat.S_IMODE(info.st_mode) == _ANYONE:
                # Linux before 6.0 forgets the umask here on some file systems.
                self._unnamed = False
                return None
            try:
                # Python looks behind this path only if it gets a folder's descriptor as well;
                # which one does not matter, since the path is absolute.
                os.link(f"/proc/self/fd/{new}", target, src_dir_fd=new, follow_symlinks=True)
            except OSError as err:
                self._unnamed = err.errno == errno.EEXIST
                return None
            return info
        finally:
            os.close(new)

    def _replace(self, obj: Obj, target: str, seen: int | None) -> os.stat_result:
        """Make a file beside its place, and rename it over what was seen there."""
        beside = self._names.beside(target)
        try:
            kind, info = self._make(self._project.cache.path(obj), beside, obj)
            meanwhile.check(target, seen)
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
        return info

    def _make(self, source: str, beside: str, obj: Obj) -> tuple[str, os.stat_result]:
        """Make a link or a copy at `beside`: which, and its stat."""
        for kind in self._types:
            if kind == "copy":
                with create_file(beside) as new:
                    return kind, self._fill(new, obj, beside)
            try:
                self._project.links.create_link(kind, source, beside)
            except OSError as err:
                if err.errno not in _UNSUPPORTED:
                    raise
            else:
                return kind, os.stat(beside)
        raise RestoreError("None of the project's link types works here: see cache.type in DVC.")

    def _fill(self, new: int, obj: Obj, path: str = "") -> os.stat_result:
        """Copy an object into a new file, and check that it is what it is said to be.

        Args:
            new: descriptor of the file.
            obj: the object.
            path: where the file can be read, which a hash other than MD5 needs.
        """
        source = self._project.cache.path(obj)
        known = self._project.cache.verified_stat(obj)
        done = known and clone(source, new, known)
        if done:
            return done
        found, info = copy(source, new)
        if obj.hash_name != "md5":
            found = self._project.hash_file(path, obj.hash_name)
        if found != obj.value:
            raise RestoreError(f"The cache object {obj.value} is corrupt: run `dvc fetch` again.")
        return info


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _remove_empty_tree(folder: str) -> None:
    """Remove a folder that has nothing but folders in it."""
    for path, _, _ in os.walk(folder, topdown=False):
        os.rmdir(path)
