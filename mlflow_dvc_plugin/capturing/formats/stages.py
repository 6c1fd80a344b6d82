"""What metafiles define: stages with the paths they read and the outs they make."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from hashlib import md5
from typing import Any, NamedTuple

from mlflow_dvc_plugin.capturing import config as dvc_config
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.state import Entry, Kind

# The hash that DVC takes on each file system; other schemes are local paths to it.
_CHECKSUMS = {
    "azure": "etag", "gdrive": "checksum", "gs": "etag", "hdfs": "checksum", "http": "checksum",
    "https": "checksum", "oss": "etag", "s3": "etag", "ssh": "md5", "webdav": "etag",
    "webdavs": "etag", "webhdfs": "checksum", "memory": "md5",
}  # fmt: skip

_DVC_FILES = (".dvc", "dvc.yaml")
# Makes a named tuple in half the time: there may be ten thousand.
_new = tuple.__new__
# What a dep starts with that is an entry of `datasets:`, and no path.
_DATASET = "ds://"


class Out(NamedTuple):
    """An out, and where it is.

    Attributes:
        entry: what the metafiles say of it.
        path: its absolute path; a URL if it is not local.
        local: it is in the project.
        files: the members of a cloud-versioned folder, each with its relpath
            and hashes; None for all else.
    """

    entry: Entry
    path: str
    local: bool = True
    files: tuple[Mapping[str, Any], ...] | None = None


class Stage(NamedTuple):
    """A stage of ``dvc.yaml``, or what a ``.dvc`` file stands for.

    Attributes:
        address: as DVC prints it; None for a ``.dvc`` file.
        name: its name in ``dvc.yaml``; None for a ``.dvc`` file.
        metafile: the ``dvc.yaml`` or ``.dvc`` file, relative to the project.
        folder: its working directory.
        reads: its deps, as they are written.
        outs: what it makes.
    """

    address: str | None
    name: str | None
    metafile: str
    folder: Folder
    reads: Sequence[str]
    outs: tuple[Out, ...]

    @property
    def wdir(self) -> str:
        """The absolute path of its working directory."""
        return self.folder.path

    @property
    def deps(self) -> list[str]:
        """Absolute paths (URLs for what is not local)."""
        return self.folder.deps(self.reads)


class Place(NamedTuple):
    """Where an out or dep is.

    Attributes:
        path: absolute path, or URL.
        key: what finds it in ``dvc.lock``.
        inside: relative to the project; None outside it.
        hash_name: the hash that its file system has.
    """

    path: str
    key: str
    inside: str | None
    hash_name: str


class Locator:
    """Finds out where the paths of metafiles lead.

    Args:
        project: absolute path of the project.
        config: its DVC configuration, for ``remote://`` paths.
    """

    def __init__(self, project: str, config: dvc_config.Config) -> None:
        self.project = project
        self._config = config

    def folder(self, metafile: str, wdir: str | None) -> Folder:
        """The folder that a metafile's paths are written for, where it names `wdir`."""
        parent = os.path.dirname(os.path.join(self.project, metafile))
        path = os.path.normpath(os.path.join(parent, wdir) if wdir else parent)
        return Folder(path, metafile, self.project, self._config)


class Folder:
    """Finds out where the paths of a metafile lead that are written for one folder.

    Args:
        path: of the folder, absolute.
        metafile: what to call the file in an error.
        project: absolute path of the project.
        config: its DVC configuration.
    """

    def __init__(self, path: str, metafile: str, project: str, config: dvc_config.Config) -> None:
        self.path = path
        self._metafile = metafile
        self._config = config
        self._prefix = project.rstrip(os.sep) + os.sep
        self._start = f"{path}/"
        # Where deps lead, of which many stages may have the same, or be asked again.
        self._deps: dict[str, str] = {}
        # What plain paths start with, relative to the project; None where none are.
        self._inside: str | None = None
        if os.sep == "/" and self._start.startswith(self._prefix):
            self._inside = self._start[len(self._prefix) :]

    def place(self, path: str) -> Place:
        """Where `path` leads.

        Raises:
            CaptureError: DVC refuses it.
        """
        inside = self._inside
        # It leads where it says, and there is nothing in it to look at or to leave out.
        if (
            inside is not None
            and path
            and path[0] != "/"
            and path[-1] not in "/."
            and "./" not in path
            and "//" not in path
            and ":" not in path
            and "\0" not in path
            and not path.endswith(_DVC_FILES)
        ):
            return _new(Place, (self._start + path, path, inside + path, "md5"))
        if path.endswith(".dvc") or posixpath.basename(path) == "dvc.yaml":
            raise CaptureError(self._metafile, f"DVC files cannot be outs or deps, as {path!r} is")
        if "\0" in path:
            raise CaptureError(self._metafile, "a path in it has a NUL character")
        scheme = _scheme(self._metafile, path) if ":" in path else ""
        if scheme == "remote":
            return self._remote(path)
        if scheme in _CHECKSUMS:
            return Place(path, path, None, _CHECKSUMS[scheme])
        full = os.path.normpath(os.path.join(self.path, path))
        key = path
        if os.path.isabs(path) and full.startswith(self._prefix):
            key = os.path.relpath(full, self.path)
        inside = None
        if full.startswith(self._prefix) and not os.path.isabs(key):
            inside = full[len(self._prefix) :].replace(os.sep, "/")
        return Place(full, key, inside, "md5")

    def deps(self, paths: Sequence[str]) -> list[str]:
        """The absolute paths, or URLs, of some deps.

        Raises:
            CaptureError: DVC refuses one.
        """
        found = self._deps
        for path in paths:
            if path not in found and not path.startswith(_DATASET):
                found[path] = self.place(path).path
        return [found[path] for path in paths if path in found]

    def check(self, paths: Iterable[str]) -> None:
        """See that each of some deps leads somewhere, at less cost.

        Raises:
            CaptureError: DVC refuses one.
        """
        for path in paths:
            odd = path.endswith(_DVC_FILES) or ":" in path or "\0" in path
            if odd and not path.startswith(_DATASET):
                self.place(path)

    def _remote(self, path: str) -> Place:
        name, _, rest = path[len("remote://") :].partition("/")
        url = dvc_config.remote_url(self._config, name)
        if url is None:
            raise CaptureError(
                self._metafile, f"it uses the remote {name!r}, which is not configured"
            )
        scheme = _scheme(self._metafile, url) if ":" in url else ""
        return Place(f"{url.rstrip('/')}/{rest}", path, None, _CHECKSUMS.get(scheme, "md5"))


def _scheme(metafile: str, path: str) -> str:
    from urllib.parse import urlsplit

    try:
        return urlsplit(path).scheme
    except ValueError as err:
        raise CaptureError(metafile, f"it has a bad URL: {path!r}") from err


def recorded_out(
    place: Place,
    info: Mapping[str, Any],
    *,
    hash_name: str | None,
    metafile: str,
    stage: str | None = None,
    cached: bool = True,
    remote: str | None = None,
    push: bool = True,
    kind: Kind = "plain",
) -> Out:
    """The out at `place`, with what its metafile records of it.

    Args:
        place: where it is.
        info: the record: hashes, size, nfiles, isexec, cloud, files.
        hash_name: the name of the hash that the record gives; None in a record
            of DVC 2, whose ``md5`` is that of the text with LF line ends.
        metafile: the file that holds the record.
        stage: address of the stage that makes it.
        cached: DVC caches it.
        remote: its own remote.
        push: DVC pushes it.
        kind: where its bytes come from, if not from a cloud-versioned remote.
    """
    record, members = info, []
    if "cloud" in info or "files" in info or "version_id" in info:
        record = _with_cloud(info)
        members = [_with_cloud(file) for file in record.get("files") or ()]
        if kind == "plain" and (members or info.get("cloud") or record.get("version_id")):
            kind = "cloud-versioned"
    if place.inside is None:
        name = field = place.hash_name
    elif hash_name is None:
        name, field = "md5-dos2unix", "md5"
    else:
        name = field = hash_name
    value = _hash(field, record.get(field))
    size, nfiles = record.get("size"), record.get("nfiles")
    isdir = False
    if members:
        value, name = _listing_hash(members, name), "md5"
        size = sum(member["size"] for member in members if member.get("size"))
        nfiles, isdir = len(members), True
    elif nfiles or (value and value.endswith(".dir")):
        isdir = True
        if not value and name not in ("md5", "md5-dos2unix"):
            value = _hash("md5", record.get("md5"))
            name = "md5" if value else name
    local = place.inside is not None
    isexec = bool(record.get("isexec"))
    about = (cached, False, stage, metafile, isexec, remote, push, kind)
    path = place.inside if local else place.key
    entry = _new(Entry, (path, name, value, size, nfiles, isdir, *about))
    return _new(Out, (entry, place.path, local, tuple(members) if members else None))


def _hash(field: str, value: Any) -> str | None:
    # An md5 of digits alone may be written without quotes. ETags differ by case.
    if value is None or value == "":
        return None
    text = str(value)
    if field == "etag":
        return text
    return text if text.islower() else text.lower()


def _with_cloud(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with what it says of the version in a remote put beside the rest."""
    merged = dict(record)
    for version in list((merged.pop("cloud", None) or {}).values())[:1]:
        merged.update(version)
    return merged


def _listing_hash(members: list[dict[str, Any]], hash_name: str) -> str:
    """The hash of a folder whose files are listed (``dvc_data.hashfile.tree.Tree``)."""
    field = "md5" if hash_name == "md5-dos2unix" else hash_name
    listing = {}
    for member in members:
        path, value = str(member["relpath"]), member.get(field)
        listing[path] = {**({field: value} if value else {}), "relpath": path}
    text = json.dumps([listing[path] for path in sorted(listing)], sort_keys=True)
    return md5(text.encode("utf-8"), usedforsecurity=False).hexdigest() + ".dir"
