"""From a recorded state to the files that it stands for."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mlflow_dvc_plugin.dvc import DIR_SUFFIX, DvcProject, Obj
from mlflow_dvc_plugin.errors import MissingObjectsError, RestoreError
from mlflow_dvc_plugin.restore import paths
from mlflow_dvc_plugin.restore.options import Options
from mlflow_dvc_plugin.state import DataState, Entry


class Wanted(NamedTuple):
    """The files to restore.

    Attributes:
        entries: the outs they belong to.
        files: what each path must hold.
        folders: outs that are folders, whose other files have to go.
        executable: outs that are executable files.
        remotes: outs' own remotes, by object.
    """

    entries: tuple[Entry, ...]
    files: dict[str, Obj | None]
    folders: tuple[str, ...]
    executable: frozenset[str]
    remotes: dict[Obj, str]


def select(state: DataState, chosen: Sequence[str] | None) -> tuple[tuple[Entry, ...], list[str]]:
    """The outs to restore, and why others of the state are left.

    Args:
        state: what the run recorded.
        chosen: paths relative to the project that the user named, each an out
            or a folder above some; None for all.

    Raises:
        RestoreError: a path means no out of the run.
    """
    entries = state.entries
    if chosen is not None:
        picked: dict[str, Entry] = {}
        for path in chosen:
            found = [e for e in entries if path == "." or _within(e.path, path)]
            if not found:
                raise RestoreError(_no_such_out(path, entries))
            picked.update((e.path, e) for e in found)
        entries = tuple(sorted(picked.values()))
    left = [f"{e.path}: not cached by DVC, Git has it" for e in entries if not e.cached]
    left += [f"{e.path}: has no hash yet" for e in entries if e.cached and not e.hash]
    return tuple(e for e in entries if e.cached and e.hash), left


def expand(project: DvcProject, entries: Iterable[Entry], options: Options) -> Wanted:
    """The files of outs: for folders, those that their listings name.

    Listings that the cache lacks are fetched.

    Raises:
        UnsafePathError: a path leads where a restore never writes.
        MissingObjectsError: a folder's listing cannot be had.
    """
    entries = tuple(entries)
    files: dict[str, Obj | None] = {}
    remotes: dict[Obj, str] = {}
    listings: dict[Obj, str] = {}
    for e in entries:
        paths.check(e.path)
        obj = Obj(e.hash_name, str(e.hash))
        if e.remote:
            remotes[obj] = e.remote
        if obj.value.endswith(DIR_SUFFIX):
            listings[obj] = e.path
        else:
            files[e.path] = obj
    fetch(project, listings, remotes, options)
    folders = []
    for e in entries:
        obj = Obj(e.hash_name, str(e.hash))
        if obj not in listings:
            continue
        folders.append(e.path)
        for name, member in _members(project, obj, e.path):
            files[name] = member
            if e.remote:
                remotes[member] = e.remote
    executable = frozenset(e.path for e in entries if e.isexec and not e.isdir)
    return Wanted(entries, files, tuple(folders), executable, remotes)


def fetch(
    project: DvcProject,
    objs: Mapping[Obj, str],
    remotes: Mapping[Obj, str],
    options: Options,
) -> None:
    """Bring what the cache lacks into it.

    Args:
        project: the open project.
        objs: the objects, each with the path to name it by.
        remotes: outs' own remotes, by object.
        options: the remote that the user chose for all, jobs and progress.

    Raises:
        MissingObjectsError: some cannot be had.
    """
    missing = objs.keys() - project.in_cache(objs)
    if not missing:
        return
    by_remote: dict[str | None, list[Obj]] = {}
    for obj in sorted(missing):
        by_remote.setdefault(options.remote or remotes.get(obj), []).append(obj)
    options.progress.begin("Fetching", len(missing))
    failed: dict[Obj, str] = {}
    for name, some in by_remote.items():
        failed.update(project.fetch(some, name, options.jobs, options.progress))
    if failed:
        raise MissingObjectsError({objs[obj]: reason for obj, reason in failed.items()})


def _members(project: DvcProject, obj: Obj, folder: str) -> Iterable[tuple[str, Obj]]:
    try:
        with open(project.cache_path(obj), encoding="utf-8") as file:
            listing = json.load(file)
        for item in listing:
            name = posixpath.join(folder, item["relpath"])
            paths.check(name)
            if not _within(name, folder):
                raise RestoreError(f"The listing of {folder} names {name!r}, outside of it.")
            yield name, Obj(obj.hash_name, item["md5"])
    except (OSError, ValueError, TypeError, KeyError) as err:
        raise RestoreError(f"The listing of {folder} cannot be read: {err!r}.") from err


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _no_such_out(path: str, entries: Sequence[Entry]) -> str:
    above = next((e.path for e in entries if _within(path, e.path)), None)
    if above is not None:
        return f"{path} is inside {above}, which DVC tracks as one: restore {above}."
    known = ", ".join(e.path for e in entries[:10]) or "none"
    return f"The run has no data at {path!r}. Its paths: {known}{', …' if entries[10:] else ''}."
