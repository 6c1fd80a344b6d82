"""From a recorded state to the files that it stands for."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring.files import paths
from mlflow_dvc_plugin.restoring.files import permissions as modes
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

_ROW = re.compile(
    rb'\{"md5": "([0-9a-f]{32})", "relpath": ("(?:[^"\\\x00-\x1f]|\\.)*")\}(?:, (?=\{)|(?=\]))'
)
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")


class Wanted(NamedTuple):
    """The files to restore.

    Attributes:
        entries: the outs they belong to.
        files: what each path must hold.
        folders: outs that are folders, whose other files have to go.
        modes: what files' permissions have to become, where that is known.
        kept: folders that stay, even if they are left empty.
    """

    entries: tuple[Entry, ...]
    files: dict[str, Obj | None]
    folders: tuple[str, ...] = ()
    modes: Mapping[str, modes.Change] = MappingProxyType({})
    kept: tuple[str, ...] = ()


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
    reasons = {
        e.path: "it was not made yet" if not e.hash else "it is outside the project"
        for e in entries
        if not e.hash or paths.is_external(e.path)
    }
    left = [f"{_shown(path)}: {reason}" for path, reason in reasons.items()]
    return tuple(e for e in entries if e.path not in reasons), left


def split(entries: Iterable[Entry]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """The outs that DVC caches, and those that it leaves to Git."""
    entries = tuple(entries)
    return tuple(e for e in entries if e.cached), tuple(e for e in entries if not e.cached)


def expand(fetcher: Fetcher, entries: Sequence[Entry]) -> Wanted:
    """The files of outs: for folders, those that their listings name.

    Listings that the cache lacks are fetched.

    Raises:
        UnsafePathError: a path leads where a restore never writes.
        MissingObjectsError: a folder's listing cannot be had.
    """
    files: list[tuple[str, Obj]] = []
    listings: dict[Obj, str] = {}
    for e in entries:
        paths.check(e.path)
        obj = _obj(e.path, e.hash_name, e.hash)
        if obj.value.endswith(DIR_SUFFIX):
            listings[obj] = e.path
        else:
            files.append((e.path, obj))
    fetcher.fetch(listings)
    fetcher.progress.begin("Reading folders' listings", len(listings))
    folders = []
    for e in entries:
        obj = Obj(e.hash_name, str(e.hash))
        if obj in listings:
            folders.append(e.path)
            files += _members(fetcher.project, obj, e.path)
            fetcher.progress.advance(files=1)
    paths.check_apart(fetcher.project.root, [path for path, _ in files])
    bits = {
        e.path: modes.executable if e.isexec else modes.plain
        for e in entries
        if e.path not in folders
    }
    return Wanted(tuple(entries), dict(files), tuple(folders), bits)


def _members(project: DvcProject, obj: Obj, folder: str) -> Iterable[tuple[str, Obj]]:
    try:
        with open(project.cache.path(obj), "rb") as file:
            data = file.read()
        for value, relpath in _rows(data):
            name = posixpath.join(folder, relpath)
            paths.check(name)
            if not name.startswith(folder + "/"):
                raise RestoreError(f"The listing of {folder} names {name!r}, outside of it.")
            yield name, _obj(name, obj.hash_name, value)
    except (OSError, ValueError, TypeError, KeyError) as err:
        raise RestoreError(f"The listing of {folder} cannot be read: {err!r}.") from err


def _rows(data: bytes) -> Iterable[tuple[object, str]]:
    """Hash and path of each file in a folder's listing.

    DVC's own layout is read row by row, since parsed JSON takes six times as
    much memory; from the first row on that has another one, it is parsed.
    """
    at, count = 1, 0
    while match := _ROW.match(data, at):
        text = match[2]
        yield match[1].decode(), json.loads(text) if b"\\" in text else text[1:-1].decode()
        at, count = match.end(), count + 1
    if data[:1] != b"[" or data[at:] != b"]":
        for item in json.loads(data)[count:]:
            yield item["md5"], item["relpath"]


def _obj(path: str, hash_name: str, value: object) -> Obj:
    """An object whose hash can be checked, and is no path of its own."""
    if isinstance(value, str) and hash_name in ("md5", "md5-dos2unix") and _MD5.match(value):
        return Obj(hash_name, value)
    raise RestoreError(
        f"{path} has the hash {hash_name}:{str(value)[:80]!r}, which nobody can check."
    )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _shown(path: str) -> str:
    """A recorded path as it may be printed."""
    return path if path.isprintable() else ascii(path)


def _no_such_out(path: str, entries: Sequence[Entry]) -> str:
    above = next((e.path for e in entries if _within(path, e.path)), None)
    if above is not None:
        return f"{path} is inside {above}, which DVC tracks as one: restore {above}."
    known = ", ".join(_shown(e.path) for e in entries[:10]) or "none"
    more = ", …" if entries[10:] else ""
    return f"The run has no data at {path!r}. Its paths: {known}{more}."
