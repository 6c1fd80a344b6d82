"""What metafiles define: stages with the paths they read and the outs they make."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Mapping
from hashlib import md5
from typing import Any, NamedTuple

from mlflow_dvc_plugin.capture import config as dvc_config
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.state import Entry, Kind

# The hash that DVC takes on each file system; other schemes are local paths to it.
_CHECKSUMS = {
    "azure": "etag", "gdrive": "checksum", "gs": "etag", "hdfs": "checksum", "http": "checksum",
    "https": "checksum", "oss": "etag", "s3": "etag", "ssh": "md5", "webdav": "etag",
    "webdavs": "etag", "webhdfs": "checksum", "memory": "md5",
}  # fmt: skip


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
        wdir: the absolute path of its working directory.
        deps: absolute paths (URLs for what is not local).
        outs: what it makes.
    """

    address: str | None
    name: str | None
    metafile: str
    wdir: str
    deps: tuple[str, ...]
    outs: tuple[Out, ...]


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
        self._prefix = project.rstrip(os.sep) + os.sep
        self._config = config

    def folder(self, metafile: str, wdir: str | None) -> str:
        """The absolute working directory of a metafile's stage."""
        parent = os.path.dirname(os.path.join(self.project, metafile))
        return os.path.normpath(os.path.join(parent, wdir)) if wdir else os.path.normpath(parent)

    def place(self, metafile: str, wdir: str, path: str) -> Place:
        """Where `path`, written in `metafile` for the folder `wdir`, leads.

        Raises:
            CaptureError: DVC refuses it.
        """
        full = f"{wdir}/{path}"
        if os.sep == "/" and _is_plain(path) and full.startswith(self._prefix):
            return Place(full, path, full[len(self._prefix) :], "md5")
        if path.endswith(".dvc") or posixpath.basename(path) == "dvc.yaml":
            raise CaptureError(metafile, f"DVC files cannot be outs or deps, as {path!r} is")
        if "\0" in path:
            raise CaptureError(metafile, "a path in it has a NUL character")
        scheme = _scheme(metafile, path) if ":" in path else ""
        if scheme == "remote":
            return self._remote(metafile, path)
        if scheme in _CHECKSUMS:
            return Place(path, path, None, _CHECKSUMS[scheme])
        full = os.path.normpath(os.path.join(wdir, path))
        key = path
        if os.path.isabs(path) and full.startswith(self._prefix):
            key = os.path.relpath(full, wdir)
        inside = None
        if full.startswith(self._prefix) and not os.path.isabs(key):
            inside = full[len(self._prefix) :].replace(os.sep, "/")
        return Place(full, key, inside, "md5")

    def path(self, metafile: str, wdir: str, path: str) -> str:
        """The absolute path, or URL, of a path like those that :meth:`place` takes.

        Raises:
            CaptureError: DVC refuses it.
        """
        if os.sep == "/" and _is_plain(path):
            return f"{wdir}/{path}"
        return self.place(metafile, wdir, path).path

    def _remote(self, metafile: str, path: str) -> Place:
        name, _, rest = path[len("remote://") :].partition("/")
        url = dvc_config.remote_url(self._config, name)
        if url is None:
            raise CaptureError(metafile, f"it uses the remote {name!r}, which is not configured")
        scheme = _scheme(metafile, url) if ":" in url else ""
        return Place(f"{url.rstrip('/')}/{rest}", path, None, _CHECKSUMS.get(scheme, "md5"))


def _is_plain(path: str) -> bool:
    """Does the path lead where it says, with nothing in it to look at or to leave out?"""
    return not (
        path[:1] in ("", "/")
        or path[-1] in "/."
        or "./" in path
        or "//" in path
        or ":" in path
        or "\0" in path
        or path.endswith((".dvc", "dvc.yaml"))
    )


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
    special = "cloud" in info or "files" in info
    record = _with_cloud(info) if special else info
    if place.inside is None:
        name = field = place.hash_name
    elif hash_name is None:
        name, field = "md5-dos2unix", "md5"
    else:
        name = field = hash_name
    value = _hash(field, record.get(field))
    size, nfiles = record.get("size"), record.get("nfiles")
    isdir = False
    members = [_with_cloud(file) for file in record.get("files") or ()] if special else []
    if members:
        value, name = _listing_hash(members, name), "md5"
        size = sum(member["size"] for member in members if member.get("size"))
        nfiles, isdir = len(members), True
    elif nfiles or (value and value.endswith(".dir")):
        isdir = True
        if not value and name not in ("md5", "md5-dos2unix"):
            value = _hash("md5", record.get("md5"))
            name = "md5" if value else name
    if kind == "plain" and (members or info.get("cloud") or record.get("version_id")):
        kind = "cloud-versioned"
    entry = Entry(
        path=place.inside if place.inside is not None else place.key,
        hash_name=name,
        hash=value,
        size=size,
        nfiles=nfiles,
        isdir=isdir,
        cached=cached,
        stage=stage,
        metafile=metafile,
        isexec=bool(record.get("isexec")),
        remote=remote,
        push=push,
        kind=kind,
    )
    return Out(entry, place.path, place.inside is not None, tuple(members) if members else None)


def _hash(field: str, value: Any) -> str | None:
    # An md5 of digits alone may be written without quotes. ETags differ by case.
    if value is None or value == "":
        return None
    return str(value) if field == "etag" else str(value).lower()


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
