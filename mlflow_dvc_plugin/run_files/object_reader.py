"""Reads the objects of a run's data, in any process that has a copy of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, BinaryIO

from mlflow_dvc_plugin.errors import FolderError, NoObjectError, join_some
from mlflow_dvc_plugin.restoring.origin import Origin, make_project
from mlflow_dvc_plugin.run_files.tree import Item
from mlflow_dvc_plugin.state.objects import Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject
    from mlflow_dvc_plugin.dvc.transfer.objects import Objects


class ObjectReader:
    """Reads objects from where an origin says.

    Connections to a remote cannot be used in a process that was forked later. So each
    process opens its own when it needs them, with its own credentials.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        # Locks could be held for ever in a forked process, so there are none here.
        self._projects: dict[int, DvcProject] = {}  # by process

    def open(self, item: Item, block_size: int | None = None) -> BinaryIO:
        """Open a file; what is read is not verified."""
        try:
            return self._open_objects().open(_to_obj(item), item.remote, block_size)
        except NoObjectError as err:
            raise _explain({item.path: str(err)}) from err

    def read(self, item: Item) -> bytes:
        """Read a file, or a tracked folder's listing, and verify it."""
        try:
            return self._open_objects().read(_to_obj(item), item.remote)
        except NoObjectError as err:
            raise _explain({item.path: str(err)}) from err

    def find_sizes(self, items: Iterable[Item]) -> dict[str, int]:
        """Find how many bytes files have, by path; those that are nowhere are left out."""
        sizes: dict[str, int] = {}
        for remote, some in _group_by_remote(items).items():
            found = self._open_objects().find_sizes({_to_obj(item) for item in some}, remote)
            sizes.update((i.path, found[i.obj]) for i in some if i.obj in found)
        return sizes

    def write_files(self, files: Mapping[str, Item]) -> None:
        """Write files, by absolute path, each verified before it gets there."""
        failed: dict[str, str] = {}
        for remote, some in _group_by_remote(files.values()).items():
            chosen = {*some}
            objs = {path: _to_obj(item) for path, item in files.items() if item in chosen}
            reasons = self._open_objects().write_files(objs, remote)
            failed.update((i.path, reasons[i.obj]) for i in some if i.obj in reasons)
        if failed:
            raise _explain(failed)

    def _open_objects(self) -> Objects:
        process = os.getpid()
        if process not in self._projects:
            self._projects.setdefault(process, self._open_project())
        return self._projects[process].objects

    def _open_project(self) -> DvcProject:
        from mlflow_dvc_plugin.dvc.project import DvcProject

        if self._origin.project:
            return DvcProject(self._origin.project)
        home = tempfile.mkdtemp(prefix="mlflow-dvc-")
        try:
            project = DvcProject(home, make_project(self._origin, home))
            # A worker may be killed at any time, and must not leave a folder behind.
            project.delete_folder()
        finally:
            shutil.rmtree(home, ignore_errors=True)
        return project


def _to_obj(item: Item) -> Obj:
    if item.obj is None:
        raise FolderError(item.path)
    return item.obj


def _group_by_remote(items: Iterable[Item]) -> dict[str | None, list[Item]]:
    groups: dict[str | None, list[Item]] = {}
    for item in items:
        groups.setdefault(item.remote, []).append(item)
    return groups


def _explain(reasons: Mapping[str, str]) -> NoObjectError:
    shown = join_some([f"{path} ({reason})" for path, reason in reasons.items()], 20, "; ")
    return NoObjectError(
        f"The DVC cache and remote lack {shown}. Run `dvc push` on a machine that has the data, or "
        "name another remote."
    )
