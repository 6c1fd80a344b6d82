"""Stages, and the outs that metafiles record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import md5
from typing import Any

from mlflow_dvc_plugin.capturing.formats.paths import Place, WorkingDir
from mlflow_dvc_plugin.named_tuple import NamedTuple
from mlflow_dvc_plugin.state import Entry, Kind

# Creates a named tuple in half the time: there can be ten thousand.
_new = tuple.__new__
_MD5_NAMES = ("md5", "md5-dos2unix")


class Out(NamedTuple):
    """An out, and where it is."""

    entry: Entry
    path: str  # absolute; a URL if it is not local
    local: bool = True  # it is in the project
    files: tuple[Mapping[str, Any], ...] | None = None  # members of a cloud-versioned folder


class Stage(NamedTuple):
    """A stage of ``dvc.yaml``, or the one that a ``.dvc`` file stands for."""

    address: str | None  # as DVC prints it; None for a `.dvc` file
    name: str | None  # None for a `.dvc` file
    metafile: str  # relative to the project
    folder: WorkingDir
    dep_paths: Sequence[str]  # as they are written
    outs: tuple[Out, ...]

    @property
    def deps(self) -> list[str]:
        """Absolute paths, or URLs, of its deps."""
        return self.folder.locate_deps(self.dep_paths)


# The stages of a metafile, with all the bytes that they were read from.
KnownStages = dict[str, tuple[list[bytes], list[Stage]]]


class ProjectMetafiles(NamedTuple):
    """The metafiles of a project, by path relative to it, and their stages."""

    stages: list[Stage]
    contents: Mapping[str, bytes]
    hashes: Mapping[str, str]
    known: KnownStages  # those that depend on no other file


def build_out(
    place: Place,
    record: Mapping[str, Any],
    flags: Mapping[str, Any],
    *,
    metafile: str,
    stage: str | None = None,
    kind: Kind = "plain",
) -> Out:
    """Build an out from the record of it in `metafile`, and its flags (cache, remote, push)."""
    members: list[dict[str, Any]] = []
    if "cloud" in record or "files" in record or "version_id" in record:
        merged = _merge_cloud(record)
        members = [_merge_cloud(file) for file in merged.get("files") or ()]
        if kind == "plain" and (members or record.get("cloud") or merged.get("version_id")):
            kind = "cloud-versioned"
        record = merged
    name, value = _read_hash(place, record)
    size, nfiles = record.get("size"), record.get("nfiles")
    isdir = bool(members or nfiles or (value and value.endswith(".dir")))
    if members:
        value, name = _hash_listing(members, name), "md5"
        size, nfiles = sum(member.get("size") or 0 for member in members), len(members)
    elif isdir and not value and name not in _MD5_NAMES:
        value = _format_hash("md5", record.get("md5"))
        name = "md5" if value else name
    local = place.inside is not None
    path = place.inside if local else place.key
    what = (path, name, value, size, nfiles, isdir, flags.get("cache", True), False)
    isexec, remote = bool(record.get("isexec")), flags.get("remote")
    where = (stage, metafile, isexec, remote, flags.get("push", True), kind)
    return _new(Out, (_new(Entry, what + where), place.path, local, tuple(members) or None))


def _read_hash(place: Place, record: Mapping[str, Any]) -> tuple[str, str | None]:
    """Name and value of the recorded hash."""
    name: str | None = place.hash_name if place.inside is None else record.get("hash")
    if name is None:  # DVC 2 hashed text files with LF line ends
        return "md5-dos2unix", _format_hash("md5", record.get("md5"))
    return name, _format_hash(name, record.get(name))


def _format_hash(field: str, value: Any) -> str | None:
    # An MD5 of digits alone can be written without quotes. ETags differ by case.
    if not value:
        return None
    text = str(value)
    if field == "etag":
        return text
    return text if text.islower() else text.lower()


def _merge_cloud(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add what a record says of the version in a remote to its other fields."""
    merged = dict(record)
    for version in list((merged.pop("cloud", None) or {}).values())[:1]:
        merged.update(version)
    return merged


def _hash_listing(members: list[dict[str, Any]], hash_name: str) -> str:
    """The hash of a folder whose files are listed (``dvc_data.hashfile.tree.Tree``)."""
    field = "md5" if hash_name == "md5-dos2unix" else hash_name
    listing = {}
    for member in members:
        path, value = str(member["relpath"]), member.get(field)
        listing[path] = {**({field: value} if value else {}), "relpath": path}
    text = json.dumps([listing[path] for path in sorted(listing)], sort_keys=True)
    return md5(text.encode("utf-8"), usedforsecurity=False).hexdigest() + ".dir"
