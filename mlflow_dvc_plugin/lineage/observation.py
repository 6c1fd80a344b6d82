"""The data that is really in the workspace, whatever the metafiles say."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from mlflow_dvc_plugin.capturing.snapshot import find_untracked_entries
from mlflow_dvc_plugin.capturing.workspace.folders import walk_folder
from mlflow_dvc_plugin.capturing.workspace.status import forget_folder_verdicts
from mlflow_dvc_plugin.dvc.hashing import hash_file
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.lineage.listings import Listing, to_object
from mlflow_dvc_plugin.lineage.workspace import read_state
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.files.paths import is_external
from mlflow_dvc_plugin.settings import load_settings
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import Obj, build_listing

_HASHES = ("md5", "md5-dos2unix")


@dataclass(frozen=True)
class Observation:
    """What the workspace holds at the paths of a project's outs.

    Attributes:
        missing: the outs that are not there, as their metafiles say.
        unverified: paths of outs that were not looked at, and why: the state has
            the hashes of their metafiles.
    """

    state: DataState
    missing: tuple[Entry, ...] = ()
    unverified: Mapping[str, str] = field(default_factory=dict)
    listings: Mapping[Obj, Listing] = field(default_factory=dict)


# The files of an out by path relative to it, an empty one for the out itself, each with its
# absolute path and its stat.
_Files = dict[str, tuple[str, os.stat_result]]


def observe_workspace(root: str, progress: Progress, others: Iterable[Entry] = ()) -> Observation:
    """Hash the data at the paths of a project's outs; DVC's state database knows most hashes.

    Data that DVC does not track is observed at the paths of `others`, and where the settings
    let a run save it.
    """
    forget_folder_verdicts()  # they may stand for some seconds after a change
    state = read_state(root)
    untracked = {e.path: e for e in (*others, *find_untracked_entries(root, load_settings(root)))}
    for e in state.entries:
        untracked.pop(e.path, None)
    if state.status == "clean" and not untracked:
        return Observation(state)
    outs = [*(e for e in state.entries if e.cached and e.hash), *untracked.values()]
    unverified = {e.path: reason for e in outs if (reason := _explain_unverifiable(e))}
    files = {e: _find_files(root, e.path) for e in outs if e.path not in unverified}
    with closing(DvcProject(root)) as dvc:
        hashes = _hash_outs(dvc, files, progress)
    observed: list[Entry] = []
    listings: dict[Obj, Listing] = {}
    for e in outs:
        members = {name: hashes[path] for name, (path, _) in (files.get(e) or {}).items()}
        if e.path in unverified:
            observed.append(e)
        elif "" in members:
            observed.append(e._replace(hash=members[""], isdir=False))
        elif files[e] is not None:
            folder = e._replace(hash=build_listing(members)[0].value, isdir=True)
            observed.append(folder)
            listings[to_object(folder)] = Listing(to_object(folder), members)
    missing = tuple(e for e, found in files.items() if found is None and e.metafile)
    state = state._replace(entries=tuple(observed), modified=())
    return Observation(state, missing, unverified, listings)


def _explain_unverifiable(entry: Entry) -> str:
    """Why the data of an out is not looked at; empty if it is."""
    if is_external(entry.path) or entry.path.split("/")[0] == "..":
        return "it is outside the project"
    if entry.hash_name not in _HASHES:
        return f"its hash, of kind {entry.hash_name!r}, cannot be computed from a file"
    return ""


def _find_files(root: str, path: str) -> _Files | None:
    """The files of an out; None if it is not there."""
    top = os.path.join(root, path)
    try:
        info = os.stat(top)
    except (FileNotFoundError, NotADirectoryError):
        return None
    found: Iterable[tuple[str, os.stat_result | None]] = [("", info)]
    files = {}
    try:
        if stat.S_ISDIR(info.st_mode):
            found = walk_folder(root, path)
        for name, each in found:
            if each is None or not stat.S_ISREG(each.st_mode):
                raise DvcError(f"{posixpath.join(path, name)} is not a file: DVC cannot hash it.")
            files[name] = (os.path.join(top, name) if name else top, each)
    except OSError as err:
        raise DvcError(f"{path} cannot be read: {err}.") from err
    return files


def _hash_outs(
    dvc: DvcProject, outs: Mapping[Entry, _Files | None], progress: Progress
) -> dict[str, str]:
    """The hash of each file, by absolute path."""
    names = {path: e.hash_name for e, files in outs.items() for path, _ in (files or {}).values()}
    infos = {path: info for files in outs.values() for path, info in (files or {}).values()}
    return hash_files(dvc, infos, names, progress)


def hash_files(
    dvc: DvcProject | None,
    infos: Mapping[str, os.stat_result],
    names: Mapping[str, str],
    progress: Progress,
) -> dict[str, str]:
    """The hash of each file, by absolute path; `names` are the kinds of hash, by default ``md5``.

    DVC's state database of the project, if there is one, knows most of them.
    """
    progress.begin("Hashing the workspace", len(infos))
    known = dvc.database.find_hashes(infos) if dvc else {}

    def hash_one(path: str) -> str:
        name, obj = names.get(path, "md5"), known.get(path)
        value = obj.value if obj and obj.hash_name == name else hash_file(path, name)
        progress.advance(files=1)
        return value

    try:
        with ThreadPoolExecutor() as pool:
            return dict(zip(infos, pool.map(hash_one, infos), strict=True))
    except OSError as err:
        raise DvcError(f"The data cannot be read: {err}.") from err
