"""What is in the workspace where a restore will write, and is it saved?"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from mlflow_dvc_plugin.dvc import DvcProject, Obj
from mlflow_dvc_plugin.errors import UnsafePathError
from mlflow_dvc_plugin.restore.paths import Guard
from mlflow_dvc_plugin.restore.wanted import Wanted

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
    found: set[str] = set()
    folders = {os.path.dirname(e.path) for e in wanted.entries}
    _sweep(os.path.join(root, folder) for folder in folders)
    for path in wanted.files:
        guard.check(path)
        found.update(_at(root, path))
    for folder in wanted.folders:
        top = os.path.join(root, folder)
        guard.check(folder + "/")
        if os.path.isdir(top):
            inside = (os.path.relpath(p, root) for p in project.files_in(top))
            found.update(path.replace(os.sep, "/") for path in inside)
        elif os.path.lexists(top):
            found.add(folder)
    leftovers = {path for path in found if TEMPORARY.search(path)}
    _sweep({os.path.dirname(os.path.join(root, path)) for path in leftovers})
    return _identify(project, root, found - leftovers, wanted.files)


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


def _at(root: str, path: str) -> Iterable[str]:
    """The files at a path: itself, or everything in it if it is a folder."""
    full = os.path.join(root, path)
    try:
        mode = os.lstat(full).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _above(root, path)
    if stat.S_ISDIR(mode):
        return [
            os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
            for folder, _, names in os.walk(full)
            for name in names
        ]
    return [path]


def _above(root: str, path: str) -> list[str]:
    """The file that stands where a folder above `path` has to be, if one does."""
    while path := path.rpartition("/")[0]:
        full = os.path.join(root, path)
        if os.path.lexists(full):
            return [] if os.path.isdir(full) else [path]
    return []


def _identify(
    project: DvcProject, root: str, found: Iterable[str], wanted: Mapping[str, Obj | None]
) -> dict[str, Obj]:
    # A link into a cache that was deleted leads nowhere: there is no content to lose.
    full = {
        path: os.path.join(root, path)
        for path in sorted(found)
        if os.path.exists(os.path.join(root, path))
    }
    for path, name in full.items():
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise UnsafePathError(path, "something that is not a file stands there")
    known = project.known_hashes(full.values())
    result: dict[str, Obj] = {}
    doubtful: list[tuple[str, str]] = []
    for path, name in full.items():
        aim = wanted.get(path)
        obj = known.get(name)
        if obj is not None and (aim is None or obj.hash_name == aim.hash_name):
            result[path] = obj
        else:
            doubtful.append((path, aim.hash_name if aim else "md5"))
    with ThreadPoolExecutor() as pool:
        values = pool.map(lambda item: project.hash_file(full[item[0]], item[1]), doubtful)
        for (path, hash_name), value in zip(doubtful, values, strict=True):
            result[path] = Obj(hash_name, value)
    return result


def _same_bytes(project: DvcProject, path: str, obj: Obj) -> bool:
    """The cache has just these bytes under an older hash."""
    import filecmp

    cached = project.cache_path(obj)
    return os.path.isfile(cached) and filecmp.cmp(path, cached, shallow=False)
