"""What is in the workspace where a restore will write?"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.capturing.workspace.folders import walk_folder
from mlflow_dvc_plugin.errors import CaptureError, RestoreError, UnsafePathError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.files.paths import Guard
from mlflow_dvc_plugin.restoring.files.stamps import stamp, stamp_at
from mlflow_dvc_plugin.restoring.files.symlinks import is_link, link_at
from mlflow_dvc_plugin.restoring.files.temporary import LEFT_OVER
from mlflow_dvc_plugin.restoring.plan.comparison import Change, Comparison, Plan
from mlflow_dvc_plugin.restoring.run_data.files import Wanted
from mlflow_dvc_plugin.state.objects import Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

_BATCH = 5000  # files


def scan(
    project: DvcProject,
    root: str,
    wanted: Wanted,
    *,
    apart: Collection[str] = (),
    sweep: bool = True,
    progress: Progress,
) -> Plan:
    """What has to change where the wanted files go, and beside them in a wanted folder.

    Args:
        project: the open project.
        root: absolute path that the wanted paths are relative to.
        wanted: what a restore will write.
        apart: paths that are no data, though they may be in a wanted folder.
        sweep: remove what a killed restore left on its way.
        progress: hears of the files that are there.

    Raises:
        UnsafePathError: a symbolic link or a special file is in the way.
    """
    comparison = Comparison(wanted.files)
    if sweep:
        _sweep(root, {os.path.dirname(path) for path in wanted.files})
    times: dict[str, float] = {}

    def data() -> Iterator[tuple[str, os.stat_result | None]]:
        for path, info in _found(root, wanted, sweep):
            if info is not None:
                times[path] = info.st_mtime
            if path not in apart:
                yield path, info

    found = data()
    # In batches: a million files at once would take much memory.
    while batch := dict(islice(found, _BATCH)):
        for path, obj, seen in _identify(project, root, batch, wanted.files, progress):
            comparison.saw(path, obj, seen)
    plan = comparison.plan()
    changes = [c for c in plan.changes if not _is_right_link(root, c)]
    return Plan(changes, plan.unchanged + len(plan.changes) - len(changes), times)


def _is_right_link(root: str, change: Change) -> bool:
    return is_link(change.new) and link_at(os.path.join(root, change.path)) == change.new


def _found(root: str, wanted: Wanted, sweep: bool) -> Iterator[tuple[str, os.stat_result | None]]:
    """Each file that is there, once; with its stat, if that is known already."""
    guard = Guard(root)
    seen: set[str] = set()
    for folder in wanted.folders:
        blocked = guard.folder(folder, folder)
        if blocked:
            seen.add(blocked)
            yield blocked, None
        elif blocked is not None:
            for path, info in _listed(root, folder, sweep):
                seen.add(path)
                yield path, info
    for path in wanted.files.keys() - seen:
        for name in _at(root, path, guard):
            if name not in seen:
                seen.add(name)
                yield name, None


def _listed(root: str, folder: str, sweep: bool) -> Iterator[tuple[str, os.stat_result | None]]:
    """The files in a folder that ``.dvcignore`` does not leave out."""
    try:
        for name, info in walk_folder(root, folder, os.path.join(root, folder)):
            path = f"{folder}/{name}"
            if not LEFT_OVER.search(name):
                yield path, info
            elif sweep:
                os.unlink(os.path.join(root, path))
    except CaptureError as err:
        raise RestoreError(str(err)) from err


def _sweep(root: str, folders: Iterable[str]) -> None:
    """Remove the files that a killed restore left on their way."""
    guard = Guard(root)
    for folder in folders:
        full = os.path.join(root, folder)
        if guard.folder(folder, folder) == "" and os.path.isdir(full):
            for name in filter(LEFT_OVER.search, os.listdir(full)):
                os.unlink(os.path.join(full, name))


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
        return list(_all_in(root, full))
    return [path]


def _all_in(root: str, full: str) -> Iterator[str]:
    """The files in a folder that would have to go, and the links to folders."""
    for above, folders, names in os.walk(full):
        shown = os.path.relpath(above, root).replace(os.sep, "/")
        if {".git", ".dvc"} & {*folders, *names}:
            raise UnsafePathError(shown, "a repository or project of its own stands there")
        for name in (*names, *(f for f in folders if os.path.islink(os.path.join(above, f)))):
            yield f"{shown}/{name}"


def _identify(
    project: DvcProject,
    root: str,
    found: Mapping[str, os.stat_result | None],
    wanted: Mapping[str, Obj | None],
    progress: Progress,
) -> Iterator[tuple[str, Obj, int | None]]:
    """What files hold (the wanted object if it is just that), and their stamps."""
    infos: dict[str, os.stat_result] = {}
    prefix = root + os.sep
    for path, known_info in found.items():
        info = known_info or _stat(prefix + path)
        link = link_at(prefix + path) if info is None else None
        if link is not None:
            yield path, link, stamp_at(prefix + path)
        if info is not None:
            if not stat.S_ISREG(info.st_mode):
                raise UnsafePathError(path, "something that is not a file stands there")
            infos[prefix + path] = info
    cut = len(prefix)
    aims = {full: wanted.get(full[cut:]) for full in infos}
    expected = {full: aim for full, aim in aims.items() if aim is not None and not is_link(aim)}
    known = project.database.find_hashes(infos, expected)
    doubtful: list[tuple[str, str]] = []
    for full, info in infos.items():
        aim, obj = expected.get(full), known.get(full)
        if obj is not None and (aim is None or obj.hash_name == aim.hash_name):
            yield full[cut:], obj, stamp(info)
        else:
            doubtful.append((full[cut:], aim.hash_name if aim else "md5"))
    progress.advance(files=len(found) - len(doubtful))
    if doubtful:
        with ThreadPoolExecutor() as pool:
            values = pool.map(lambda item: project.hash_file(prefix + item[0], item[1]), doubtful)
            for (path, hash_name), value in zip(doubtful, values, strict=True):
                progress.advance(files=1)
                yield path, Obj(hash_name, value), stamp(infos[prefix + path])


def _stat(path: str) -> os.stat_result | None:
    """None for a link that leads nowhere, as one into a cache that was deleted."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
