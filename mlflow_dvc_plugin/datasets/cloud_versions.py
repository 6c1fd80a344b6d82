"""The versions of files that a cloud-versioned remote holds for an out.

Such a remote stores each file at its own path instead of under its hash. A metafile names
the version of each file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import lru_cache
from typing import Any, NamedTuple

from mlflow_dvc_plugin.capturing.formats.yaml import load_yaml
from mlflow_dvc_plugin.errors import DatasetError, FormatError
from mlflow_dvc_plugin.restoring.files.paths import check_path
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import Obj, build_listing

MAX_FILES = 200  # in a dataset's source
_ID = re.compile(r"[A-Za-z0-9_.:+/=-]{1,1024}\Z")
_MD5 = re.compile(r"[0-9a-f]{32}\Z")


class FileVersion(NamedTuple):
    """One version of a file; the path is relative to the out, and empty for the out itself."""

    path: str
    hash: str
    id: str


class CloudVersions(NamedTuple):
    """The version of each file of an out, sorted by path."""

    remote: str
    files: tuple[FileVersion, ...]

    def listing(self) -> tuple[Obj, bytes]:
        """The listing of the files, if the out is a folder."""
        return build_listing({file.path: file.hash for file in self.files})

    def is_valid(self) -> bool:
        """Each file has a hash and an id that look like one."""
        return all(
            isinstance(file.path, str) and _MD5.match(file.hash) and _ID.match(file.id)
            for file in self.files
        )

    def to_dict(self) -> dict[str, Any]:
        """The versions as values for JSON."""
        return {"remote": self.remote, "files": [list(file) for file in self.files]}

    @classmethod
    def from_dict(cls, stored: Any) -> CloudVersions:
        """The versions that :meth:`to_dict` described. What is stored is not trusted.

        Raises:
            DatasetError: they are damaged.
        """
        try:
            files = tuple(FileVersion(*file) for file in stored["files"])
            found = cls(str(stored["remote"]), files)
            if not found.is_valid():
                raise ValueError("a file has no valid hash or version id")
        except (KeyError, TypeError, ValueError) as err:
            raise DatasetError(f"The versions in the dataset's source are damaged: {err}.") from err
        return found


def find_versions(state: DataState, entry: Entry) -> CloudVersions | None:
    """The versions that the metafile names for an out, or for a file in one.

    None for an out that has too many files for a dataset's source.
    """
    for path, versions in _read_outs(state.metafiles.get(entry.metafile, b"")):
        if entry.isdir:
            if len(versions.files) <= MAX_FILES and versions.listing()[0].value == entry.hash:
                return versions
            continue
        for file in versions.files:
            # The metafile's folder is not known here, so only the ends of the paths are compared.
            end = f"/{posixpath.join(path, file.path)}".rstrip("/")
            if file.hash == entry.hash and f"/{entry.path}".endswith(end):
                return CloudVersions(versions.remote, (file._replace(path=""),))
    return None


def fetch_versions(project: str, path: str, value: str, versions: CloudVersions) -> None:
    """Fetch the files of an out, at `path` in the remote, into the cache; verify their hashes.

    Raises:
        DvcError: the remote does not have them.
    """
    from mlflow_dvc_plugin.dvc.project import DvcProject

    files = {}
    for file in versions.files:
        full = posixpath.join(path, file.path) if file.path else path
        check_path(full)
        files[full] = Obj("md5", file.hash), file.id
    with closing(DvcProject(project)) as dvc:
        cached = dvc.cache.find_objects({obj for obj, _ in files.values()})
        missing = {full: item for full, item in files.items() if item[0] not in cached}
        dvc.outs.fetch_versions(missing, versions.remote)
        obj, listing = versions.listing()
        if obj.value == value:
            dvc.cache.save_bytes(listing, obj)


@lru_cache(maxsize=8)
def _read_outs(metafile: bytes) -> list[tuple[str, CloudVersions]]:
    """The path, as the metafile has it, and the versions of each cloud-versioned out."""
    try:
        content = load_yaml(metafile)
    except FormatError:
        return []
    if not isinstance(content, Mapping):
        return []
    records = list(content.get("outs") or ())
    for stage in (content.get("stages") or {}).values():
        records += stage.get("outs") or ()
    outs = []
    for record in records:
        found = sorted(_read_files(record))
        remotes = {remote for remote, _ in found}
        versions = CloudVersions("".join(remotes), tuple(file for _, file in found))
        if len(remotes) == 1 and versions.is_valid():
            path = posixpath.normpath(str(record.get("path"))).replace("../", "")
            outs.append((path, versions))
    return outs


def _read_files(record: Mapping[str, Any]) -> Iterator[tuple[str, FileVersion]]:
    for file in record.get("files") or [record]:
        for remote, version in (file.get("cloud") or {}).items():
            path, value = str(file.get("relpath", "")), str(file.get("md5"))
            yield remote, FileVersion(path, value, str(version.get("version_id") or ""))
