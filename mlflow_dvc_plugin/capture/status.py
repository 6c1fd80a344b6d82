"""Does the workspace hold what the metafiles say.

Every verdict is proven: by what metafiles record (size, number of files), by a
link to the cache, by DVC's own state database, or by hashing what fits the
budget. What is not proven either way stays open.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterable
from hashlib import md5
from typing import Any, Literal

from mlflow_dvc_plugin.capture import config as dvc_config
from mlflow_dvc_plugin.capture import hashing, statedb
from mlflow_dvc_plugin.capture.folders import list_folder
from mlflow_dvc_plugin.capture.stages import Out
from mlflow_dvc_plugin.state import Status

Verdict = Literal["equal", "different", "absent", "open"]

_FOLDER_SECONDS = 5.0
_FOLDERS = 1000
# Between the two timestamps of one write.
_SAME_WRITE_NS = 20_000_000
_CHECK_EVERY = 500
_HASHES = ("md5", "md5-dos2unix")
_MAX_LISTING = 1 << 28

# Verdicts on folders that still stand: by path and hash, with the time they were proven.
_standing: dict[tuple[str, str], tuple[float, Verdict]] = {}
# Listings of the last folders, by hash: a search loop starts many runs.
_listings: dict[str, dict[str, str]] = {}


def judge(
    project: str, outs: Iterable[Out], config: dvc_config.Config, budget_ms: int
) -> tuple[Status, tuple[str, ...]]:
    """The status of some outs together, and the paths proven different.

    Args:
        project: absolute path of the project.
        outs: what to look at; those that were never made are passed over.
        config: the project's DVC configuration.
        budget_ms: how long it may take; 0 for no look at all.
    """
    if budget_ms == 0:
        return "unverified", ()
    look = _Look(project, config, time.monotonic() + budget_ms / 1000)
    made = [out for out in outs if out.entry.hash]
    try:
        verdicts = look.at(made)
    finally:
        look.close()
    modified = tuple(o.entry.path for o, v in zip(made, verdicts, strict=True) if v == "different")
    if modified:
        return "modified", modified
    if "absent" in verdicts:
        return "missing", ()
    return ("unverified" if "open" in verdicts else "clean"), ()


class _File:
    """A file whose content is to be proven.

    Args:
        path: where it is.
        info: its stat.
        hash_name: name of the hash to have.
        expected: its value; None if any will do.
        cached: when DVC put it into the cache, or later, in nanoseconds; 0 if
            that is not known.
    """

    __slots__ = ("cached", "expected", "found", "hash_name", "info", "path")

    def __init__(
        self, path: str, info: os.stat_result, hash_name: str, expected: str | None, cached: int
    ) -> None:
        self.path = path
        self.info = info
        self.hash_name = hash_name
        self.expected = expected
        self.cached = cached
        self.found: str | None = None

    @property
    def verdict(self) -> Verdict:
        if self.found is None:
            return "open"
        return "equal" if self.expected in (None, self.found) else "different"

    def believe(self, record: str | None) -> None:
        """Take the hash from DVC's record, if that is of this very file.

        Inode, mtime and size are what DVC itself goes by, but an mtime can be
        set back after an edit. The ctime cannot: it must be that of the last
        write, or be older than the copy in the cache.
        """
        if record is None:
            return
        info = self.info
        written = abs(info.st_ctime_ns - info.st_mtime_ns) <= _SAME_WRITE_NS
        if not written and info.st_ctime_ns > self.cached:
            return
        digest = statedb.checksum(info)
        if self.expected and self.hash_name == "md5":
            if statedb.confirms(record, digest, self.expected):
                self.found = self.expected
                return
        known = statedb.recorded_hash(record, digest)
        if known and known[0] == self.hash_name:
            self.found = known[1]


class _Look:
    """One look at the workspace."""

    def __init__(self, project: str, config: dvc_config.Config, deadline: float) -> None:
        self._project = project
        self._deadline = deadline
        self._cache = dvc_config.cache_dir(config, project)
        self._config = config
        self._db: statedb.StateDb | None = None
        self._pending: list[_File] = []

    def close(self) -> None:
        if self._db is not None:
            self._db.close()

    @property
    def db(self) -> statedb.StateDb:
        if self._db is None:
            self._db = statedb.StateDb(statedb.find(self._project, self._config))
        return self._db

    def at(self, outs: list[Out]) -> list[Verdict]:
        verdicts: dict[int, Verdict] = {}
        files: dict[int, _File] = {}
        folders: dict[int, _Folder] = {}
        for index, out in enumerate(outs):
            looked = self._first(out)
            if isinstance(looked, _File):
                files[index] = looked
            elif isinstance(looked, os.stat_result):
                folders[index] = _Folder(out)
            else:
                verdicts[index] = looked
        self._ask_db(list(files.values()))
        for folder in sorted(folders.values(), key=lambda folder: folder.nfiles):
            self._enter(folder)
        self._hash([*files.values(), *(f for each in folders.values() for f in each.files)])
        verdicts.update((index, file.verdict) for index, file in files.items())
        verdicts.update((index, folder.close()) for index, folder in folders.items())
        return [verdicts[index] for index in range(len(outs))]

    def _first(self, out: Out) -> Verdict | _File | os.stat_result:
        """What one stat tells; the file or folder to go on with otherwise."""
        entry = out.entry
        if not out.local or self._late():
            return "open"
        try:
            info = own = os.lstat(out.path)
            if stat.S_ISLNK(own.st_mode):
                info = os.stat(out.path)
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        except (OSError, ValueError):
            return "open"
        if stat.S_ISDIR(info.st_mode):
            return info if entry.isdir else "different"
        if entry.isdir or not stat.S_ISREG(info.st_mode):
            return "different"
        if entry.hash_name not in _HASHES:
            return "open"
        if entry.hash_name == "md5" and entry.size is not None and entry.size != info.st_size:
            return "different"
        assert entry.hash is not None
        cached = self._cached(entry.hash_name, entry.hash)
        if cached is not None and _is_link(own, info, cached):
            return "equal"
        moment = cached.st_mtime_ns if cached else 0
        return _File(out.path, info, entry.hash_name, entry.hash, moment)

    def _enter(self, folder: _Folder) -> None:
        """Compare a folder's names, sizes and records with its listing."""
        out, entry = folder.out, folder.out.entry
        assert entry.hash is not None
        standing = _standing.get((out.path, entry.hash))
        if standing and time.monotonic() - standing[0] < _FOLDER_SECONDS:
            folder.verdict = standing[1]
            return
        if entry.hash_name not in _HASHES or not entry.hash.endswith(".dir"):
            return
        listed = list_folder(self._project, entry.path, out.path, self._deadline)
        if listed is None:
            return
        if entry.nfiles is not None and entry.nfiles != len(listed):
            folder.verdict = "different"
            return
        if entry.hash_name == "md5" and entry.size is not None:
            total = sum(info.st_size for info in listed.values())
            if entry.size != total:
                folder.verdict = "different"
                return
        cached = self._cached(entry.hash_name, entry.hash)
        moment = cached.st_mtime_ns if cached else 0
        listing = self._listing(out)
        if listing is not None and listing.keys() != listed.keys():
            folder.verdict = "different"
            return
        records = self.db.under(out.path)
        for count, (relative, info) in enumerate(listed.items()):
            if count % _CHECK_EVERY == 0 and self._late():
                return
            path = f"{out.path}{os.sep}{relative.replace('/', os.sep)}"
            expected = listing[relative] if listing is not None else None
            file = _File(path, info, entry.hash_name, expected, moment)
            file.believe(records.get(path))
            if file.found is None and expected and (info.st_nlink > 1 or os.path.islink(path)):
                own = self._cached(entry.hash_name, expected)
                if own is not None and _is_link(os.lstat(path), info, own):
                    file.found = expected
            folder.files.append(file)
            folder.names.append(relative)
        folder.entered = True

    def _listing(self, out: Out) -> dict[str, str] | None:
        """The hash of each member of a folder; None if nothing here says."""
        entry = out.entry
        if out.files is not None:
            field = "md5"
            if not all(file.get(field) for file in out.files):
                return None
            return {str(file["relpath"]): str(file[field]).lower() for file in out.files}
        assert entry.hash is not None
        key = f"{entry.hash_name}:{entry.hash}"
        if key not in _listings:
            listing = _read_listing(self._object_path(entry.hash_name, entry.hash), entry.hash)
            if listing is None:
                return None
            while len(_listings) >= _FOLDERS or sum(map(len, _listings.values())) > 1_000_000:
                _listings.pop(next(iter(_listings)))
            _listings[key] = listing
        return _listings[key]

    def _ask_db(self, files: list[_File]) -> None:
        if files and not self._late():
            records = self.db.of(file.path for file in files)
            for file in files:
                file.believe(records.get(file.path))

    def _hash(self, files: list[_File]) -> None:
        open_files = [file for file in files if file.found is None]
        for file in open_files:
            file.found = hashing.remembered(file.path, file.info, file.hash_name)
        # The small ones first: the more are proven.
        for file in sorted(open_files, key=lambda file: file.info.st_size):
            if file.found is None:
                if self._late():
                    return
                file.found = hashing.file_hash(file.path, file.info, file.hash_name, self._deadline)

    def _late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _object_path(self, hash_name: str, value: str) -> str:
        if hash_name == "md5":
            return os.path.join(self._cache, "files", "md5", value[:2], value[2:])
        return os.path.join(self._cache, value[:2], value[2:])

    def _cached(self, hash_name: str, value: str) -> os.stat_result | None:
        """The stat of an object in the cache, if it is there as DVC leaves it: read-only."""
        try:
            info = os.stat(self._object_path(hash_name, value))
        except (OSError, ValueError):
            return None
        writable = info.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
        return None if writable else info


class _Folder:
    """A folder whose members are to be proven."""

    def __init__(self, out: Out) -> None:
        self.out = out
        self.nfiles = out.entry.nfiles or 0
        self.verdict: Verdict | None = None
        self.entered = False
        self.files: list[_File] = []
        self.names: list[str] = []

    def close(self) -> Verdict:
        """The verdict, once all is done that the budget allows."""
        if self.verdict is not None or not self.entered:
            return self.verdict or "open"
        verdicts = {file.verdict for file in self.files}
        verdict: Verdict = "equal"
        if "different" in verdicts:
            verdict = "different"
        elif "open" in verdicts:
            return "open"
        elif any(file.expected is None for file in self.files):
            verdict = "equal" if self._digest() == self.out.entry.hash else "different"
        assert self.out.entry.hash is not None
        if len(_standing) >= _FOLDERS:
            _standing.clear()
        _standing[self.out.path, self.out.entry.hash] = (time.monotonic(), verdict)
        return verdict

    def _digest(self) -> str:
        """The folder's hash, from those of its members."""
        members = zip(self.names, self.files, strict=True)
        listing = [{"md5": file.found, "relpath": name} for name, file in sorted(members)]
        return _text_digest(json.dumps(listing, sort_keys=True)) + ".dir"


def _is_link(own: os.stat_result, info: os.stat_result, cached: os.stat_result) -> bool:
    """Is a workspace file (its own stat, and its target's) the cache's object itself?"""
    linked = stat.S_ISLNK(own.st_mode) or info.st_nlink > 1
    return linked and (info.st_dev, info.st_ino) == (cached.st_dev, cached.st_ino)


def _text_digest(text: str) -> str:
    return md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def _read_listing(path: str, value: str) -> dict[str, str] | None:
    """The hashes in a folder's object in the cache, if that is what its name says."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_LISTING)
        if md5(data, usedforsecurity=False).hexdigest() + ".dir" != value:
            return None
        members: list[dict[str, Any]] = json.loads(data)
        return {str(member["relpath"]): str(member["md5"]) for member in members}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
