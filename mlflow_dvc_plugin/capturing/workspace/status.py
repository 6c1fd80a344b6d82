"""Does the workspace hold what the metafiles say.

Every verdict is proven: by what metafiles record (size, number of files), by a
link to the cache, by DVC's own state database, or by hashing what fits the
budget. What is not proven either way stays open.
"""

from __future__ import annotations

import os
import stat
import time
from typing import Literal

from mlflow_dvc_plugin.capturing import config as dvc_config
from mlflow_dvc_plugin.capturing.formats.stages import Out
from mlflow_dvc_plugin.capturing.workspace import hashing
from mlflow_dvc_plugin.capturing.workspace import state_database as statedb
from mlflow_dvc_plugin.capturing.workspace.cache import Cache, listing_hash
from mlflow_dvc_plugin.capturing.workspace.folders import list_folder
from mlflow_dvc_plugin.capturing.workspace.out_places import Made
from mlflow_dvc_plugin.state import Entry, Status, hash_record

Verdict = Literal["equal", "different", "absent", "open"]

_FOLDER_SECONDS = 5.0
# What no disk is faster than: a folder that cannot be listed in time is not begun.
_FILES_PER_SECOND = 2_000_000
# A file that changed this lately could change again without a new timestamp.
_SETTLED_NS = 2_000_000_000
_PROVEN = 200_000
_FOLDERS = 1000
_CHECK_EVERY = 500
# Between the two timestamps of one write.
_SAME_WRITE_NS = 20_000_000
_HASHES = ("md5", "md5-dos2unix")

# The hash of a file, and its stat.
_Proof = tuple[str, str | None, int, int, int, int]

# Verdicts on folders that still stand: by path and hash, with the time they were
# found, and the budget that an open one had.
_standing: dict[tuple[str, str], tuple[float, Verdict, float]] = {}
# The stat of each single file when its content was proven, with the hash that it has.
_proven: dict[str, _Proof] = {}


def forget() -> None:
    """Have every folder looked at anew: something has just changed, or must be known now."""
    _standing.clear()


def judge(
    project: str, made: Made, config: dvc_config.Config, budget_ms: int
) -> tuple[Status, tuple[str, ...]]:
    """The status of some outs together, and the paths proven different.

    Args:
        project: absolute path of the project.
        made: what to look at; outs that were never made are passed over.
        config: the project's DVC configuration.
        budget_ms: how long it may take; 0 for no look at all.
    """
    if budget_ms == 0:
        return "unverified", ()
    look = _Look(project, config, budget_ms / 1000)
    try:
        verdicts = look.at(made)
    finally:
        look.close()
    found = set(verdicts.values())
    if "different" in found:
        different = [position for position, each in verdicts.items() if each == "different"]
        return "modified", tuple([made.outs[position].entry.path for position in different])
    if "absent" in found or len(verdicts) < len(made.outs):
        return "missing", ()
    return ("unverified" if "open" in found else "clean"), ()


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
        digest = hash_record.checksum(info)
        plain = self.expected is not None and self.hash_name == "md5"
        if plain and hash_record.confirms(record, digest, self.expected or ""):
            self.found = self.expected
            return
        known = hash_record.recorded_hash(record, digest)
        if known and known[0] == self.hash_name:
            self.found = known[1]

    def believe_link(self, cache: Cache) -> None:
        """Take the hash from the cache's object, if this file is a link to it."""
        if self.expected is None:
            return
        if self.info.st_nlink > 1 or os.path.islink(self.path):
            info = cache.stat(self.hash_name, self.expected)
            if info and (info.st_dev, info.st_ino) == (self.info.st_dev, self.info.st_ino):
                self.found = self.expected


class _Folder:
    """A folder whose members are to be proven."""

    def __init__(self, out: Out) -> None:
        self.out = out
        self.verdict: Verdict | None = None
        # By POSIX path relative to the folder; None until it was entered.
        self.files: dict[str, _File] | None = None

    def closed(self) -> Verdict:
        """The verdict, once all is done that the budget allows."""
        if self.verdict is not None or self.files is None:
            return self.verdict or "open"
        verdicts = {file.verdict for file in self.files.values()}
        if "different" in verdicts:
            return "different"
        if "open" in verdicts:
            return "open"
        if all(file.expected for file in self.files.values()):
            return "equal"
        # Nothing said what each member should be, but all of them together.
        found = {name: file.found or "" for name, file in self.files.items()}
        return "equal" if listing_hash(found) == self.out.entry.hash else "different"


class _Look:
    """One look at the workspace, until a deadline."""

    def __init__(self, project: str, config: dvc_config.Config, budget: float) -> None:
        self._project = project
        self._config = config
        self._budget = budget
        self._deadline = time.monotonic() + budget
        self._started = time.time_ns()
        self._cache = Cache(dvc_config.cache_dir(config, project))
        self._db: statedb.StateDb | None = None

    def close(self) -> None:
        if self._db is not None:
            self._db.close()

    def _late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _state(self) -> statedb.StateDb:
        if self._db is None:
            self._db = statedb.StateDb(statedb.find(self._project, self._config))
        return self._db

    def at(self, made: Made) -> dict[int, Verdict]:
        """A verdict on each out that is not surely absent, by its position."""
        looked = {
            position: self._first(made.outs[position])
            for position in made.perhaps_there(self._late)
        }
        files = [each for each in looked.values() if isinstance(each, _File)]
        folders = [each for each in looked.values() if isinstance(each, _Folder)]
        self._ask_dvc(files)
        for folder in sorted(folders, key=lambda folder: folder.out.entry.nfiles or 0):
            self._enter(folder)
        members = [file for folder in folders for file in (folder.files or {}).values()]
        self._hash(files + members)
        for position, each in looked.items():
            if isinstance(each, _File) and each.verdict == "equal":
                self._remember(each, made.outs[position].entry)
        return {position: self._closed(each) for position, each in looked.items()}

    def _first(self, out: Out) -> Verdict | _File | _Folder:
        """What one stat tells; the file or folder to go on with otherwise."""
        if not out.local or self._late():
            return "open"
        try:
            info = os.stat(out.path)
        except (OSError, ValueError) as err:
            gone = isinstance(err, (FileNotFoundError, NotADirectoryError))
            return "absent" if gone else "open"
        if out.path in _proven and _proven[out.path] == _proof(out.entry, info):
            return "equal"
        if stat.S_ISDIR(info.st_mode):
            return _Folder(out) if out.entry.isdir else "different"
        if out.entry.isdir or not stat.S_ISREG(info.st_mode):
            return "different"
        return self._file(out.path, info, out.entry)

    def _file(self, path: str, info: os.stat_result, entry: Entry) -> Verdict | _File:
        # The size of DVC 2's text is not that of what it hashed.
        if entry.hash_name == "md5" and entry.size not in (None, info.st_size):
            return "different"
        if entry.hash_name not in _HASHES or entry.hash is None:
            return "open"
        cached = self._cache.stat(entry.hash_name, entry.hash)
        moment = cached.st_mtime_ns if cached else 0
        file = _File(path, info, entry.hash_name, entry.hash, moment)
        file.believe_link(self._cache)
        return file

    def _enter(self, folder: _Folder) -> None:
        """Compare a folder's names and sizes with what is recorded, and go on with its files."""
        path, entry = folder.out.path, folder.out.entry
        assert entry.hash is not None
        moment, standing, budget = _standing.get((path, entry.hash), (0.0, None, 0.0))
        found = standing != "open" or budget >= self._budget  # a larger one may find out more
        if standing and found and time.monotonic() - moment < _FOLDER_SECONDS:
            folder.verdict = standing
            return
        if time.monotonic() + (entry.nfiles or 0) / _FILES_PER_SECOND >= self._deadline:
            return
        if entry.hash_name not in _HASHES or not entry.hash.endswith(".dir"):
            return
        listed = list_folder(self._project, entry.path, path, self._deadline)
        if listed is None:
            return
        listing = self._listing(folder.out)
        if not _same_outline(listed, listing, entry):
            folder.verdict = "different"
            return
        cached = self._cache.stat(entry.hash_name, entry.hash)
        moment = cached.st_mtime_ns if cached else 0
        records = self._state().under(path)
        files = {}
        for count, (name, info) in enumerate(listed.items()):
            if count % _CHECK_EVERY == 0 and self._late():
                return
            full = f"{path}{os.sep}{name.replace('/', os.sep)}"
            expected = listing[name] if listing is not None else None
            file = files[name] = _File(full, info, entry.hash_name, expected, moment)
            file.believe(records.get(full))
            if file.found is None:
                file.believe_link(self._cache)
        folder.files = files

    def _listing(self, out: Out) -> dict[str, str] | None:
        """The hash of each member of a folder; None if nothing says it."""
        if out.files is None:
            return self._cache.listing(out.entry.hash_name, out.entry.hash or "")
        if not all(file.get("md5") for file in out.files):
            return None
        return {str(file["relpath"]): str(file["md5"]).lower() for file in out.files}

    def _ask_dvc(self, files: list[_File]) -> None:
        unproven = [file for file in files if file.found is None]
        if unproven and not self._late():
            records = self._state().of(file.path for file in unproven)
            for file in unproven:
                file.believe(records.get(file.path))

    def _hash(self, files: list[_File]) -> None:
        unproven = [file for file in files if file.found is None]
        for file in unproven:
            file.found = hashing.remembered(file.path, file.info, file.hash_name)
        # The small ones first: the more are proven.
        for file in sorted(unproven, key=lambda file: file.info.st_size):
            if self._late():
                return
            if file.found is None:
                file.found = hashing.file_hash(file.path, file.info, file.hash_name, self._deadline)

    def _remember(self, file: _File, entry: Entry) -> None:
        info = file.info
        if self._started - max(info.st_mtime_ns, info.st_ctime_ns) > _SETTLED_NS:
            if len(_proven) >= _PROVEN:
                _proven.clear()
            _proven[file.path] = _proof(entry, info)

    def _closed(self, looked: Verdict | _File | _Folder) -> Verdict:
        if isinstance(looked, _File):
            return looked.verdict
        if not isinstance(looked, _Folder):
            return looked
        verdict = looked.closed()
        if looked.verdict is None and (verdict == "open" or looked.files is not None):
            if len(_standing) >= _FOLDERS:
                _standing.clear()
            key = (looked.out.path, looked.out.entry.hash or "")
            _standing[key] = (time.monotonic(), verdict, self._budget)
        return verdict


def _proof(entry: Entry, info: os.stat_result) -> _Proof:
    when = info.st_mtime_ns, info.st_ctime_ns
    return entry.hash_name, entry.hash, *when, info.st_size, info.st_ino


def _same_outline(
    listed: dict[str, os.stat_result], listing: dict[str, str] | None, entry: Entry
) -> bool:
    """Are a folder's names, their number and the total size what is recorded?"""
    if entry.nfiles not in (None, len(listed)):
        return False
    if listing is not None and listing.keys() != listed.keys():
        return False
    if entry.hash_name != "md5" or entry.size is None:
        return True
    return entry.size == sum(info.st_size for info in listed.values())
