"""Which versions of which files a cloud-versioned remote holds for an out.

No hash finds them there: they lie at their own paths, and a metafile names the
version of each.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Any, NamedTuple

from mlflow_dvc_plugin.capturing.formats import yaml as document
from mlflow_dvc_plugin.errors import DatasetError
from mlflow_dvc_plugin.restoring.files.paths import check
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj, bytes_obj

MAX_FILES = 200
_ID = re.compile(r"[A-Za-z0-9_.:+/=-]{1,1024}\Z")
_MD5 = re.compile(r"[0-9a-f]{32}\Z")


class Version(NamedTuple):
    """One version of a file.

    Attributes:
        path: relative to the out; empty if the file is the out itself.
        hash: MD5 of its bytes.
        id: what the remote calls it.
    """

    path: str
    hash: str
    id: str


class Versions(NamedTuple):
    """The version of each file of an out.

    Attributes:
        remote: name of the remote.
        files: the files, sorted by path.
    """

    remote: str
    files: tuple[Version, ...]

    def to_dict(self) -> dict[str, Any]:
        """As values that JSON knows."""
        return {"remote": self.remote, "files": [list(file) for file in self.files]}

    @classmethod
    def from_dict(cls, stored: Any) -> Versions:
        """The versions that :meth:`to_dict` described, or that someone else made up.

        Raises:
            DatasetError: they are none.
        """
        try:
            files = tuple(Version(*file) for file in stored["files"])
            if not all(_MD5.match(file.hash) and _ID.match(file.id) for file in files):
                raise ValueError("no hash, or no id")
            return cls(str(stored["remote"]), files)
        except (KeyError, TypeError, ValueError) as err:
            raise DatasetError(f"The versions in the dataset's source are damaged: {err}.") from err


def recorded(state: DataState, entry: Entry) -> Versions | None:
    """The versions that the metafile of an out names, for the out or a file in it.

    Returns:
        None for an out that is not cloud-versioned, or has too many files for
        a dataset's source.
    """
    if entry.kind != "cloud-versioned":
        return None
    for path, remote, files in _outs(state.metafiles.get(entry.metafile, b"")):
        if entry.isdir:
            found = files if _listing(files)[0].value + DIR_SUFFIX == entry.hash else ()
        else:
            ends = (f"/{posixpath.join(path, file.path)}".rstrip("/") for file in files)
            found = tuple(
                file._replace(path="")
                for file, end in zip(files, ends, strict=True)
                if file.hash == entry.hash and f"/{entry.path}".endswith(end)
            )[:1]
        if found and len(found) <= MAX_FILES:
            return Versions(remote, found)
    return None


def bring(project: str, path: str, value: str, versions: Versions) -> None:
    """Have the files in the cache, each verified by its hash.

    Args:
        project: absolute path of the project, whose configuration says where
            the remote is.
        path: the out, relative to the project; it says where in the remote.
        value: its hash.
        versions: its files.

    Raises:
        MlflowDvcError: the remote does not have them.
    """
    from mlflow_dvc_plugin.dvc.project import DvcProject

    files = {}
    for file in versions.files:
        full = posixpath.join(path, file.path) if file.path else path
        check(full)
        files[full] = Obj("md5", file.hash), file.id
    with closing(DvcProject(project)) as dvc:
        have = dvc.cache.find_objects({obj for obj, _ in files.values()})
        dvc.outs.fetch_versions(
            {p: item for p, item in files.items() if item[0] not in have}, versions.remote
        )
        obj, listing = _listing(versions.files)
        if obj.value + DIR_SUFFIX == value:
            dvc.cache.save_bytes(listing, Obj("md5", value))


@lru_cache(maxsize=8)
def _outs(data: bytes) -> list[tuple[str, str, tuple[Version, ...]]]:
    """Path as the metafile has it, remote and files of each cloud-versioned out."""
    try:
        content = document.load(data)
    except document.DocumentError:
        return []
    if not isinstance(content, Mapping):
        return []
    records = list(content.get("outs") or ())
    for stage in (content.get("stages") or {}).values():
        records += stage.get("outs") or ()
    found = []
    for record in records:
        remotes, files = set(), []
        for file in record.get("files") or [record]:
            for remote, version in (file.get("cloud") or {"": {}}).items():
                remotes.add(remote)
                files.append(
                    Version(
                        str(file.get("relpath", "")),
                        str(file.get("md5")),
                        str(version.get("version_id") or ""),
                    )
                )
        if len(remotes) == 1 and all(_ID.match(f.id) and _MD5.match(f.hash) for f in files):
            path = posixpath.normpath(str(record.get("path"))).replace("../", "")
            found.append((path, remotes.pop(), tuple(sorted(files))))
    return found


def _listing(files: Sequence[Version]) -> tuple[Obj, bytes]:
    """A folder's listing, as DVC writes it."""
    rows = [{"md5": file.hash, "relpath": file.path} for file in files]
    data = json.dumps(rows, sort_keys=True).encode()
    return bytes_obj(data), data
