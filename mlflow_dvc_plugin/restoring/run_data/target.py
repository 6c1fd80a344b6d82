"""What a folder must hold when a checkout is complete."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from mlflow_dvc_plugin.restoring.files.contents import Contents
from mlflow_dvc_plugin.restoring.files.permissions import ModeChange
from mlflow_dvc_plugin.state.objects import Obj


class Target(NamedTuple):
    """What a folder must hold when a checkout is complete.

    Attributes:
        outs: paths of the outs, which the result reports on.
        files: the object that each path must hold; None for no file.
        folders: outs that are folders: any other file in them is deleted.
        modes: what must become of files' permissions, where they are known.
        empty_folders: folders that are kept even if no file is left in them.
        metafiles: bytes of the metafiles, and of files in Git; None to delete.
        unsaved: paths of those whose present content is saved nowhere else.
    """

    outs: tuple[str, ...]
    files: Mapping[str, Obj | None]
    folders: tuple[str, ...] = ()
    modes: Mapping[str, ModeChange] = MappingProxyType({})
    empty_folders: tuple[str, ...] = ()
    metafiles: Contents = MappingProxyType({})
    unsaved: tuple[str, ...] = ()
