"""The data that is really in the workspace, whatever the metafiles say."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mlflow_dvc_plugin.capturing.workspace.cache import hash_listing
from mlflow_dvc_plugin.capturing.workspace.folders import walk_folder
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.lineage.listings import Members, to_object
from mlflow_dvc_plugin.lineage.workspace import open_project, read_state
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

_HASHES = ("md5", "md5-dos2unix")


class _File(NamedTuple):
    """A file of an out.

    Attributes:
        name: relative to the out, POSIX; empty for the out itself.
        hash_name: the hash that DVC takes of it.
        info: its stat.
    """

    name: str
    hash_name: str
    info: os.stat_result


# The files of an out, by absolute path.
_Files = dict[str, _File]


@dataclass(frozen=True)
class Observation:
    """What the workspace holds at the paths of a project's outs.

    Attributes:
        state: the project's data state, as its metafiles say.
        entries: the outs that are there, each with the hash of its present data.
        missing: paths of outs that are not there.
        unverified: outs whose data was not looked at, by path with the reason;
            their entries are those of the metafiles.
        members: the files of folders that were looked at, by the folders' objects.
    """

    state: DataState
    entries: tuple[Entry, ...]
    missing: tuple[str, ...] = ()
    unverified: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[Obj, Members] = field(default_factory=dict)


def observe_workspace(root: str, progress: Progress) -> Observation:
    """Hash the data at the paths of a project's outs.

    DVC's state database spares most of the work. Outs outside the project, and
    those with hashes that no file tells (``etag``), are not looked at.

    Args:
        root: absolute path of the project.
        progress: hears of files.

    Raises:
        MlflowDvcError: the metafiles or the settings cannot be read.
    """
    state = read_state(root)
    entries = tuple(e for e in state.entries if e.cached and e.hash)
    if state.status == "clean":
        return Observation(state, entries)
    found: dict[str, _Files] = {}
    missing: list[str] = []
    unverified: dict[str, str] = {}
    for e in entries:
        if reason := _explain_unverifiable(e):
            unverified[e.path] = reason
            continue
        try:
            found[e.path] = _list_files(root, e)
        except (FileNotFoundError, NotADirectoryError):
            missing.append(e.path)
        except (OSError, CaptureError) as err:
            unverified[e.path] = f"it cannot be read: {err}"
    with open_project(root) as dvc:
        hashes = _hash_files(dvc, list(found.values()), progress)
    observed: list[Entry] = []
    members: dict[Obj, Members] = {}
    for e in entries:
        files = found.get(e.path, {})
        unread = next((h for path in files if isinstance(h := hashes[path], OSError)), None)
        if unread is not None:
            unverified[e.path] = f"it cannot be read: {unread}"
        if e.path in unverified:
            observed.append(e)
        elif e.path in found:
            entry, inside = _to_entry(e, files, hashes)
            observed.append(entry)
            members[to_object(entry)] = inside
    return Observation(state, tuple(observed), tuple(missing), unverified, members)


def _explain_unverifiable(entry: Entry) -> str:
    """Why the data of an out is not looked at; empty if it is."""
    if os.path.isabs(entry.path) or "://" in entry.path or entry.path.split("/")[0] == "..":
        return "it is outside the project"
    if entry.hash_name not in _HASHES:
        return f"its hash, of kind {entry.hash_name!r}, cannot be computed from a file"
    return ""


def _list_files(root: str, entry: Entry) -> _Files:
    """The files of an out that is there.

    Raises:
        CaptureError: something in it is not a file, or a ``.dvcignore`` cannot be read.
        OSError: it is not there, or cannot be read.
    """
    full = os.path.join(root, entry.path)
    info = os.stat(full)
    found: Iterable[tuple[str, os.stat_result | None]] = [("", info)]
    if stat.S_ISDIR(info.st_mode):
        found = walk_folder(root, entry.path, full)
    files = {}
    for name, each in found:
        if each is None or not stat.S_ISREG(each.st_mode):
            raise CaptureError(posixpath.join(entry.path, name), "this is not a file")
        files[os.path.join(full, name) if name else full] = _File(name, entry.hash_name, each)
    return files


def _hash_files(
    dvc: DvcProject, outs: Sequence[_Files], progress: Progress
) -> dict[str, str | OSError]:
    """The hash of each file, or why it cannot be read, by absolute path."""
    files = {path: file for out in outs for path, file in out.items()}
    progress.begin("Hashing the workspace", len(files))
    known = dvc.database.find_hashes({path: file.info for path, file in files.items()})
    hashes: dict[str, str | OSError] = {
        path: obj.value for path, obj in known.items() if obj.hash_name == files[path].hash_name
    }
    progress.advance(files=len(hashes))

    def hash_file(path: str) -> str | OSError:
        try:
            return dvc.hash_file(path, files[path].hash_name)
        except OSError as err:
            return err
        finally:
            progress.advance(files=1)

    unknown = [path for path in files if path not in hashes]
    with ThreadPoolExecutor() as pool:
        hashes.update(zip(unknown, pool.map(hash_file, unknown), strict=True))
    return hashes


def _to_entry(
    entry: Entry, files: _Files, hashes: Mapping[str, str | OSError]
) -> tuple[Entry, Members]:
    """An out with the hash of its present data, and the hashes of the files in it."""
    members = {file.name: str(hashes[path]) for path, file in files.items()}
    size = sum(file.info.st_size for file in files.values())
    if members.keys() == {""}:
        return entry._replace(hash=members[""], size=size, nfiles=None, isdir=False), {}
    value = hash_listing(members)
    return entry._replace(hash=value, size=size, nfiles=len(files), isdir=True), members
