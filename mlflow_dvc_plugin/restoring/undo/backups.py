"""What a restore replaces or deletes: what brings it back?"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from mlflow_dvc_plugin.restoring.files.symlinks import is_link, made_by_people
from mlflow_dvc_plugin.restoring.plan.comparison import Plan
from mlflow_dvc_plugin.state.objects import Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject


class Replaced(NamedTuple):
    """What a plan replaces or deletes, by path.

    Attributes:
        saved: what the cache has, and DVC's own links.
        unsaved: what nothing else has.
        links: the links that people made; where they lead is what has to be kept of them.
    """

    saved: dict[str, Obj]
    unsaved: dict[str, Obj]
    links: dict[str, Obj]


def replaced(project: DvcProject, root: str, plan: Plan, others: Iterable[str]) -> Replaced:
    """What brings back each file that is there and has to change.

    Args:
        project: the open project.
        root: absolute path that the paths are relative to.
        plan: what has to change.
        others: paths that may not change, where links of people's are looked for, too.
    """
    paths = {change.path for change in plan.changes}
    old = {change.path: change.old for change in plan.changes if change.old is not None}
    saved, unsaved = _saved(project, root, {p: obj for p, obj in old.items() if not is_link(obj)})
    links = made_by_people(project, root, {*paths, *others})
    for path in links.keys() & paths:
        (saved if path in saved else unsaved)[path] = links[path]
    own = {path: obj for path, obj in old.items() if is_link(obj) and path not in unsaved}
    return Replaced({**saved, **own}, unsaved, links)


def _saved(
    project: DvcProject, root: str, files: Mapping[str, Obj]
) -> tuple[dict[str, Obj], dict[str, Obj]]:
    """The objects of the files' very bytes: those that the cache has, and those it lacks."""
    exact: dict[str, Obj] = {}
    for path, obj in files.items():
        # The older hash takes CRLF for LF: it does not tell the exact bytes.
        if obj.hash_name == "md5" or _same_bytes(project, os.path.join(root, path), obj):
            exact[path] = obj
        else:
            exact[path] = Obj("md5", project.hash_file(os.path.join(root, path), "md5"))
    present = project.cache.find_objects(exact.values())
    saved = {path: obj for path, obj in exact.items() if obj in present}
    return saved, {path: obj for path, obj in exact.items() if obj not in present}


def _same_bytes(project: DvcProject, path: str, obj: Obj) -> bool:
    """The cache has just these bytes under an older hash."""
    cached = project.cache.path(obj)
    return os.path.isfile(cached) and filecmp.cmp(path, cached, shallow=False)
