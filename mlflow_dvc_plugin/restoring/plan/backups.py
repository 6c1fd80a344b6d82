"""Find what saves the content of each file that a plan replaces or deletes."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mlflow_dvc_plugin.restoring.files.symlinks import find_user_symlinks, is_symlink
from mlflow_dvc_plugin.restoring.plan.scan import Change
from mlflow_dvc_plugin.state.objects import Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject


class Backups(NamedTuple):
    """What a plan replaces or deletes, by path.

    Attributes:
        saved: content that the cache has, and DVC's own links into it.
        unsaved: content that is saved nowhere else.
        symlinks: the links that users made; of these, the target is saved.
    """

    saved: dict[str, Obj]
    unsaved: dict[str, Obj]
    symlinks: dict[str, Obj]


def find_backups(
    project: DvcProject, root: str, changes: Sequence[Change], others: Iterable[str]
) -> Backups:
    """Find what saves each file that exists and has to change.

    Links that users made are looked for at `others`, too.
    """
    old = {change.path: change.old for change in changes if change.old is not None}
    files = {path: obj for path, obj in old.items() if not is_symlink(obj)}
    saved, unsaved = _divide(project, root, files)
    paths = {change.path for change in changes}
    symlinks = find_user_symlinks(project.cache.folders, root, {*paths, *others})
    for path in symlinks.keys() & paths:
        (saved if path in saved else unsaved)[path] = symlinks[path]
    saved.update((p, obj) for p, obj in old.items() if is_symlink(obj) and p not in unsaved)
    return Backups(saved, unsaved, symlinks)


def _divide(
    project: DvcProject, root: str, files: Mapping[str, Obj]
) -> tuple[dict[str, Obj], dict[str, Obj]]:
    """Divide files into those whose exact bytes the cache has, and the others."""
    exact: dict[str, Obj] = {}
    for path, obj in files.items():
        # The hash of DVC 2 treats CRLF as LF, so it does not identify the exact bytes.
        if obj.hash_name == "md5" or _is_cached_exactly(project, os.path.join(root, path), obj):
            exact[path] = obj
        else:
            exact[path] = Obj("md5", project.hash_file(os.path.join(root, path), "md5"))
    present = project.cache.find_objects(exact.values())
    saved = {path: obj for path, obj in exact.items() if obj in present}
    return saved, {path: obj for path, obj in exact.items() if obj not in present}


def _is_cached_exactly(project: DvcProject, path: str, obj: Obj) -> bool:
    cached = project.cache.path(obj)
    return os.path.isfile(cached) and filecmp.cmp(path, cached, shallow=False)
