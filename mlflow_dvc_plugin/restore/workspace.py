"""What is in the workspace where a restore will write, and is it saved?"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.capture.folders import list_folder
from mlflow_dvc_plugin.errors import UnsafePathError
from mlflow_dvc_plugin.objects import Obj
from mlflow_dvc_plugin.restore.paths import Guard
from mlflow_dvc_plugin.restore.wanted import Wanted

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc import DvcProject

# A file on its way to its place; one that is left over was ours.
TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.mlflow-dvc-tmp\Z")


def scan(project: DvcProject, root: str, wanted: Wanted) -> dict[str, Obj]:
    """The files that are where the wanted ones go, or beside them in a wanted folder.

    Args:
        project: the open project.
        root: absolute path that the wanted paths are relative to.
        wanted: what a restore will write.

    Returns:
        For each path what it holds: the wanted object if it is just that, else
        the object of its bytes.

    Raises:
        UnsafePathError: a symbolic link or a special file is in the way.
    """
    guard = Guard(root)
    found: dict[str, os.stat_result | None] = {}
    _sweep({os.path.dirname(os.path.join(root, e.path)) for e in wanted.entries})
    for folder in wanted.folders:
        blocked = guard.folder(folder, folder)
        if blocked == "":
            found.update(
                (f"{folder}/{name}", info) for name, info in _listed(project, root, folder)
            )
        elif blocked:
            found[blocked] = None
    for path in wanted.files:
        if path not in found:
            found.update(dict.fromkeys(_at(root, path, guard)))
    leftovers = [path for path in found if TEMPORARY.search(path)]
    _sweep({os.path.dirname(os.path.join(root, path)) for path in leftovers})
    for path in leftovers:
        del found[path]
    return _identify(project, root, found, wanted.files)


def _listed(
    project: DvcProject, root: str, folder: str
) -> Iterable[tuple[str, os.stat_result | None]]:
    """The files in a folder, without what ``.dvcignore`` leaves out."""
    top = os.path.join(root, folder)
    listed = list_folder(root, folder, top, math.inf)
    if listed is not None:
        return listed.items()
    # Something in it cannot be told, such as a link into a cache that is gone.
    cut = len(top) + 1
    return [(path[cut:].replace(os.sep, "/"), None) for path in project.files_in(top)]


def _sweep(folders: Iterable[str]) -> None:
    """Remove the files that a killed restore left on their way."""
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(folder):
                if TEMPORARY.search(name):
                    os.unlink(os.path.join(folder, name))


def saved_as(
    project: DvcProject, root: str, old: Mapping[str, Obj]
) -> tuple[dict[str, Obj], dict[str, Obj]]:
    """Where the cache has the very bytes of files that are to be replaced.

    Args:
        project: the open project.
        root: absolute path that the paths are relative to.
        old: the files, and what :func:`scan` found in them.

    Returns:
        The objects that hold the files' bytes; and, for those files whose
        bytes the cache does not hold, the objects to save them as.
    """
    exact: dict[str, Obj] = {}
    for path, obj in old.items():
        # The older hash takes CRLF for LF: it does not tell the exact bytes.
        if obj.hash_name == "md5" or _same_bytes(project, os.path.join(root, path), obj):
            exact[path] = obj
        else:
            exact[path] = Obj("md5", project.hash_file(os.path.join(root, path), "md5"))
    saved = project.in_cache(exact.values())
    unsaved = {path: obj for path, obj in exact.items() if obj not in saved}
    return {path: obj for path, obj in exact.items() if obj in saved}, unsaved


def _at(root: str, path: str, guard: Guard) -> Iterable[str]:
    """The files at a path: itself, everything in it, or the file where its folder has to be."""
    blocked = guard.folder(path.rpartition("/")[0], path)
    if blocked is None:
        return []
    if blocked:
        return [blocked]
    full = os.path.join(root, path)
    try:
        mode = os.lstat(full).st_mode
    except FileNotFoundError:
        return []
    if stat.S_ISDIR(mode):
        return [
            os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
            for folder, _, names in os.walk(full)
            for name in names
        ]
    return [path]


def _identify(
    project: DvcProject,
    root: str,
    found: Mapping[str, os.stat_result | None],
    wanted: Mapping[str, Obj | None],
) -> dict[str, Obj]:
    infos: dict[str, os.stat_result] = {}
    prefix = root + os.sep
    for path, known_info in found.items():
        info = known_info
        if info is None:
            # A link into a cache that was deleted leads nowhere: there is no content to lose.
            with suppress(FileNotFoundError):
                info = os.stat(prefix + path)
        if info is not None:
            if not stat.S_ISREG(info.st_mode):
                raise UnsafePathError(path, "something that is not a file stands there")
            infos[prefix + path] = info
    known = project.known_hashes(infos)
    result: dict[str, Obj] = {}
    doubtful: list[tuple[str, str]] = []
    cut = len(prefix)
    for full in infos:
        path = full[cut:]
        aim = wanted.get(path)
        obj = known.get(full)
        if obj is not None and (aim is None or obj.hash_name == aim.hash_name):
            result[path] = obj
        else:
            doubtful.append((path, aim.hash_name if aim else "md5"))
    with ThreadPoolExecutor() as pool:
        values = pool.map(lambda item: project.hash_file(prefix + item[0], item[1]), doubtful)
        for (path, hash_name), value in zip(doubtful, values, strict=True):
            result[path] = Obj(hash_name, value)
    return result


def _same_bytes(project: DvcProject, path: str, obj: Obj) -> bool:
    """The cache has just these bytes under an older hash."""
    import filecmp

    cached = project.cache_path(obj)
    return os.path.isfile(cached) and filecmp.cmp(path, cached, shallow=False)
