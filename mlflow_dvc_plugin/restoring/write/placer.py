"""Put one file in its place, completely or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.file_copy import clone, copy, create_file
from mlflow_dvc_plugin.restoring.files.stamps import check_stamp
from mlflow_dvc_plugin.restoring.files.temporary import make_temporary
from mlflow_dvc_plugin.state.objects import Obj
from mlflow_dvc_plugin.system_calls import UNSUPPORTED, create_unnamed, name_file

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

_NEW_FILE_MODE = 0o666  # the umask is subtracted from it


class Placer:
    """Puts objects of a cache in their places, with the first kind of link that works."""

    def __init__(self, project: DvcProject, link_types: Sequence[str]) -> None:
        self._project = project
        self._types = tuple(link_types)
        self._unnamed = self._types[:1] == ("copy",)  # until the system refuses it

    def place(self, obj: Obj, target: str, stamp: int | None) -> os.stat_result:
        """Put an object at an absolute path, in place of the file that was scanned there.

        `stamp` is that file's, None for nothing. Returns the stat of the new file.
        """
        info = None
        if self._unnamed and stamp is None and obj.hash_name == "md5":
            info = self._create(obj, target)
        return info or self._replace(obj, target, stamp)

    def _create(self, obj: Obj, target: str) -> os.stat_result | None:
        """Copy an object into a file without a name, and name it when it is complete.

        Returns None, and there is no file, if the target exists, or if the system
        does not support this.
        """
        new = create_unnamed(os.path.dirname(target), _NEW_FILE_MODE)
        if new is None:
            self._unnamed = False
            return None
        try:
            info = self._fill(new, obj)
            if stat.S_IMODE(info.st_mode) == _NEW_FILE_MODE:
                # Linux before 6.0 forgets the umask here on some file systems.
                self._unnamed = False
                return None
            try:
                name_file(new, target)
            except OSError as err:
                self._unnamed = err.errno == errno.EEXIST
                return None
            return info
        finally:
            os.close(new)

    def _replace(self, obj: Obj, target: str, stamp: int | None) -> os.stat_result:
        """Make a temporary file, and rename it over the file that was scanned there."""
        # Renaming one hardlink of a file over another one leaves both; then this deletes one.
        with make_temporary(target) as temporary:
            info = self._make(self._project.cache.path(obj), temporary, obj)
            check_stamp(target, stamp)
            try:
                os.replace(temporary, target)
            except IsADirectoryError:
                _delete_empty_folders(target)
                os.replace(temporary, target)
        return info

    def _make(self, source: str, temporary: str, obj: Obj) -> os.stat_result:
        """Make a link or a copy at a path."""
        for kind in self._types:
            if kind == "copy":
                with create_file(temporary) as new:
                    return self._fill(new, obj, temporary)
            try:
                self._project.cache.create_link(kind, source, temporary)
            except OSError as err:
                if err.errno not in UNSUPPORTED:
                    raise
            else:
                return os.stat(temporary)
        raise RestoreError(
            "None of the project's link types works here. Set another with `dvc config cache.type`."
        )

    def _fill(self, new: int, obj: Obj, path: str = "") -> os.stat_result:
        """Copy an object into a new file, and verify it; `path` is needed for hashes but MD5."""
        source = self._project.cache.path(obj)
        known = self._project.cache.verified_stat(obj)
        if known and (info_of_clone := clone(source, new, known)):
            return info_of_clone
        found, info = copy(source, new)
        if obj.hash_name != "md5":
            found = self._project.hash_file(path, obj.hash_name)
        if found != obj.value:
            raise RestoreError(
                f"Cache object {obj.value} is corrupt. Run `dvc fetch` to replace it."
            )
        return info


def _delete_empty_folders(folder: str) -> None:
    """Delete a folder that has nothing but folders in it."""
    for path, _, _ in os.walk(folder, topdown=False):
        os.rmdir(path)
