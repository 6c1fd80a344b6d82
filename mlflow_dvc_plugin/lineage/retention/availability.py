"""Where the data of an out is: in the cache, in a remote, where it came from, or nowhere."""

from __future__ import annotations

import posixpath
from typing import Any, NamedTuple

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.lineage.listings import explain_remote_error
from mlflow_dvc_plugin.lineage.retention.objects import ObjectIndex
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import Obj

_Key = tuple[str, Obj, str | None]


class Availability(NamedTuple):
    """Where the data of an out is.

    Attributes:
        remote: the remote has all of it; None if the remote does not tell.
        missing: its files that are nowhere: the path itself, or paths in a folder.
        unknown: why it is not known whether some of it is missing.
        source: only the place that it was imported from has it.
    """

    path: str
    hash: str
    cache: bool
    remote: bool | None
    missing: tuple[str, ...] = ()
    unknown: str = ""
    source: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        fields = self._asdict().items()
        return {
            name: value
            for name, value in fields
            if name != "unknown" and (value or name != "source")
        }


class Locator:
    """Finds out where the data of outs is, and looks at each source once."""

    def __init__(self, dvc: DvcProject, index: ObjectIndex, progress: Progress) -> None:
        self._dvc = dvc
        self._index = index
        self._progress = progress
        self._absent_at_source: dict[_Key, list[str] | DvcError] = {}

    def locate(self, entry: Entry, commit: str | None = None) -> Availability:
        """Where an out is. An import or a cloud-versioned out is also looked for at its source.

        The metafile of `commit` names the source too: the workspace's may be another version.
        """
        revisions = dict.fromkeys((None, commit))
        if entry.kind == "cloud-versioned":
            for revision in revisions:
                self._read_metafile_listing(entry, revision)
        found = locate_stored(self._index, entry)
        if entry.kind == "plain" or not found.missing:
            return found
        return self._locate_at_source(entry, found, list(revisions))

    def _locate_at_source(
        self, entry: Entry, found: Availability, revisions: list[str | None]
    ) -> Availability:
        is_versioned = entry.kind == "cloud-versioned"
        missing: tuple[str, ...] = ()
        reason = ""
        for revision in revisions:
            absent = self._find_absent(entry, revision)
            if isinstance(absent, DvcError):
                reason = f"it is not known whether its source has it: {absent}"
                continue
            paths = [posixpath.join(entry.path, name).rstrip("/") for name in absent]
            is_whole = found.missing == (entry.path,)
            missing = tuple(path for path in paths if is_whole or path in found.missing)
            if not missing:
                remote = (is_versioned and not absent) or found.remote
                return found._replace(missing=(), remote=remote, source=not is_versioned)
        if missing:
            return found._replace(missing=missing)
        remote = None if is_versioned else found.remote
        return found._replace(missing=(), remote=remote, unknown=reason)

    def _read_metafile_listing(self, entry: Entry, commit: str | None) -> None:
        """Read the listing of a cloud-versioned folder from its metafile, if the cache lacks it."""
        if not self._index.explain_unread(entry):
            return
        try:
            data = self._dvc.outs.read_listing(entry.path, commit)
        except DvcError:
            return
        if data is not None:
            self._index.add_listing(entry, data)

    def _find_absent(self, entry: Entry, commit: str | None) -> list[str] | DvcError:
        """The files of an out that its source does not have, or why that is not known."""
        obj = Obj(entry.hash_name, str(entry.hash))
        key = (entry.path, obj, commit)
        if key not in self._absent_at_source:
            self._progress.begin("Looking where it was imported from", 0)
            try:
                self._absent_at_source[key] = self._dvc.outs.find_missing(entry.path, obj, commit)
            except DvcError as err:
                self._absent_at_source[key] = err
        return self._absent_at_source[key]


def locate_stored(index: ObjectIndex, entry: Entry) -> Availability:
    """Where an out is, as far as the cache and its remote go."""
    objects = index.find_objects(entry)
    pushed = [index.in_remote(obj, entry.remote) for obj in objects.values()]
    remote = False if False in pushed else None if None in pushed else True
    uncached = {path: obj for path, obj in objects.items() if not index.in_cache(obj)}
    missing = [path for path, obj in uncached.items() if not index.in_remote(obj, entry.remote)]
    unread = index.explain_unread(entry)
    unknown = ""
    error = index.find_error(entry.remote)
    if missing and error is not None:
        # The remote may have them after all: nothing is called missing.
        missing, unknown = [], explain_remote_error(error)
    if unread:
        remote = remote and None
        unknown = unknown or ("" if missing else unread)
    return Availability(
        entry.path,
        str(entry.hash),
        cache=not uncached and not unread,
        remote=remote,
        missing=tuple(missing),
        unknown=unknown,
    )
