"""Symbolic links that people made where data belongs: never lost, and never followed to write."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.restoring.files import stamps as meanwhile
from mlflow_dvc_plugin.restoring.files.temporary import beside
from mlflow_dvc_plugin.restoring.plan.comparison import Change
from mlflow_dvc_plugin.state.objects import Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

# In place of a hash's name: the value is where a link leads, as it says itself.
LINK = "symlink"


def link_at(path: str) -> Obj | None:
    """The link that stands at an absolute path; None for anything else."""
    try:
        return Obj(LINK, os.readlink(path))
    except OSError:
        return None


def is_link(obj: Obj | None) -> bool:
    """It stands for a link, and for no bytes."""
    return obj is not None and obj.hash_name == LINK


def made_by_people(project: DvcProject, root: str, paths: Iterable[str]) -> dict[str, Obj]:
    """The links, other than DVC's own into its cache, at some paths.

    Args:
        project: the open project.
        root: absolute path that the paths are relative to.
        paths: where to look.
    """
    found = {}
    caches = [os.path.realpath(cache) + os.sep for cache in project.cache.folders]
    there: dict[str, bool] = {}
    for path in paths:
        full = os.path.join(root, path)
        folder = os.path.dirname(full)
        if folder not in there:
            there[folder] = os.path.isdir(folder)
        link = link_at(full) if there[folder] else None
        if link is not None:
            leads = os.path.join(os.path.realpath(folder), link.value)
            if not any((os.path.realpath(leads) + os.sep).startswith(cache) for cache in caches):
                found[path] = link
    return found


def put(root: str, changes: Iterable[Change]) -> None:
    """Make the links that are wanted.

    Args:
        root: absolute path that the paths are relative to.
        changes: those whose new object is a link.

    Raises:
        RestoreError: another program wrote to what is to be replaced.
    """
    for change in changes:
        assert change.new is not None
        target = os.path.join(root, change.path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with beside(target) as link:
            os.symlink(change.new.value, link)
            meanwhile.check(target, change.seen)
            os.replace(link, target)
