"""List the files of outs: those in a folder are named in the folder's listing."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring.files.contents import Contents
from mlflow_dvc_plugin.restoring.files.disk import check_files
from mlflow_dvc_plugin.restoring.files.paths import check_path
from mlflow_dvc_plugin.restoring.files.permissions import (
    ModeChange,
    add_executable,
    remove_executable,
)
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

_ROW = re.compile(
    rb'\{"md5": "([0-9a-f]{32})", "relpath": ("(?:[^"\\\x00-\x1f]|\\.)*")\}(?:, (?=\{)|(?=\]))'
)
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")


class Target(NamedTuple):
    """What a folder must hold when a checkout is complete.

    Attributes:
        outs: paths of the outs, which the result reports on.
        files: the object that each path must hold; None for no file.
        folders: outs that are folders: any other file in them is deleted.
        modes: what must become of files' permissions, where they are known.
        empty_folders: folders that are kept even if no file is left in them.
        metafiles: bytes of the metafiles, and of files in Git; None to delete.
        unsaved: paths of those whose present content is saved nowhere else.
        forgotten: paths that hold nothing, because their objects were deleted on purpose.
        untracked: outs that DVC must not delete, because no metafile tracks them.
    """

    outs: tuple[str, ...]
    files: Mapping[str, Obj | None]
    folders: tuple[str, ...] = ()
    modes: Mapping[str, ModeChange] = MappingProxyType({})
    empty_folders: tuple[str, ...] = ()
    metafiles: Contents = MappingProxyType({})
    unsaved: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()


def list_files(fetcher: Fetcher, entries: Sequence[Entry], root: str) -> Target:
    """List the files of outs; listings that the cache lacks are fetched.

    Refuse files that the disk of `root`, where they must get, cannot hold.
    """
    files: list[tuple[str, Obj]] = []
    listings: dict[str, Obj] = {}
    for e in entries:
        check_path(e.path)
        obj = to_obj(e.path, e.hash_name, e.hash)
        if obj.value.endswith(DIR_SUFFIX):
            listings[e.path] = obj
        else:
            files.append((e.path, obj))
    fetcher.fetch({obj: path for path, obj in listings.items()})
    fetcher.options.progress.begin("Reading folders' listings", len(listings))
    for folder, obj in listings.items():
        if obj in fetcher.skipped:
            continue
        files += _read_listing(fetcher, obj, folder)
        fetcher.options.progress.advance(files=1)
    check_files(root, [path for path, _ in files])
    return Target(
        outs=tuple(e.path for e in entries),
        files=dict(files),
        folders=tuple(listings),
        forgotten=tuple(folder for folder, obj in listings.items() if obj in fetcher.skipped),
        modes={
            e.path: add_executable if e.isexec else remove_executable
            for e in entries
            if e.path not in listings
        },
    )


def _read_listing(fetcher: Fetcher, obj: Obj, folder: str) -> Iterable[tuple[str, Obj]]:
    try:
        with open(fetcher.project.cache.path(obj), "rb") as file:
            data = file.read()
    except OSError as err:
        raise RestoreError(f"The listing of {folder} cannot be read: {err!r}.") from err
    return parse_listing(data, folder, obj.hash_name)


def parse_listing(data: bytes, folder: str, hash_name: str) -> Iterable[tuple[str, Obj]]:
    """Parse a folder's listing: the path, relative to the project, and the object of each file.

    Raises:
        RestoreError: it is no listing, or a path leads out of the folder.
    """
    try:
        for value, relpath in _parse_rows(data):
            path = posixpath.join(folder, relpath)
            check_path(path)
            if not path.startswith(folder + "/"):
                raise RestoreError(f"The listing of {folder} names {path!r}, which is outside it.")
            yield path, to_obj(path, hash_name, value)
    except (ValueError, TypeError, KeyError) as err:
        raise RestoreError(f"The listing of {folder} cannot be read: {err!r}.") from err


def _parse_rows(data: bytes) -> Iterable[tuple[object, str]]:
    """Parse the hash and the path of each file in a listing.

    Rows in DVC's own layout are matched one by one, since parsed JSON takes six
    times as much memory. From the first row in another layout on, it is parsed.
    """
    position, count = 1, 0
    while match := _ROW.match(data, position):
        text = match[2]
        yield match[1].decode(), json.loads(text) if b"\\" in text else text[1:-1].decode()
        position, count = match.end(), count + 1
    if data[:1] != b"[" or data[position:] != b"]":
        for item in json.loads(data)[count:]:
            yield item["md5"], item["relpath"]


def to_obj(path: str, hash_name: str, value: object) -> Obj:
    """Make an object whose hash can be verified, and cannot be used as a path."""
    if isinstance(value, str) and hash_name in ("md5", "md5-dos2unix") and _MD5.match(value):
        return Obj(hash_name, value)
    raise RestoreError(
        f"{path} has the hash {hash_name}:{str(value)[:80]!r}, which cannot be verified."
    )
