"""The status: does the workspace contain what the metafiles record?

Every verdict is proven: by size and number of files, which metafiles record, by a
link to the cache, by DVC's own state database, or by hashing what the budget
allows. What is not proven stays open.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection
from contextlib import closing
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.capturing.dvc_config import Config, find_cache_dir
from mlflow_dvc_plugin.capturing.formats.outs import Out
from mlflow_dvc_plugin.capturing.workspace.cache import Cache
from mlflow_dvc_plugin.capturing.workspace.checks import (
    HASH_NAMES,
    FileCheck,
    FolderCheck,
    Verdict,
    find_members,
    has_same_outline,
)
from mlflow_dvc_plugin.capturing.workspace.expected_outs import ExpectedOuts
from mlflow_dvc_plugin.capturing.workspace.hashing import find_known_hash, hash_file, remember_hash
from mlflow_dvc_plugin.state import Entry, Status

if TYPE_CHECKING:
    from mlflow_dvc_plugin.capturing.workspace.state_database import StateDatabase

_FOLDER_SECONDS = 5.0
# No disk is faster: a folder that cannot be listed in time is not opened.
_FILES_PER_SECOND = 2_000_000
_MAX_FOLDERS = 1000
_CHECK_EVERY = 500
# To hash so little is quicker than to open DVC's state database.
_FEW_FILES = 20
_FEW_BYTES = 256 * 1024

# Recent verdicts on folders, by path and hash: the time of the verdict, and the
# budget that an open one had.
_folder_verdicts: dict[tuple[str, str], tuple[float, Verdict, float]] = {}


def judge_status(
    project: str, expected: ExpectedOuts, config: Config, budget_ms: int
) -> tuple[Status, tuple[str, ...]]:
    """Judge the status of some outs together, and find the paths that are proven different."""
    if budget_ms == 0:
        return "unverified", ()
    with closing(_Inspection(project, config, budget_ms / 1000)) as inspection:
        verdicts = inspection.judge(expected)
    found = set(verdicts.values())
    if "different" in found:
        different = [position for position, each in verdicts.items() if each == "different"]
        return "modified", tuple([expected.outs[position].entry.path for position in different])
    if "absent" in found or len(verdicts) < len(expected.outs):
        return "missing", ()
    return ("unverified" if "open" in found else "clean"), ()


def forget_folder_verdicts() -> None:
    """Check every folder again next time, because one has changed or must be known now."""
    _folder_verdicts.clear()


class _Inspection:
    """One inspection of the workspace, until a deadline."""

    def __init__(self, project: str, config: Config, budget: float) -> None:
        self._project = project
        self._config = config
        self._budget = budget
        self._deadline = time.monotonic() + budget
        self._started = time.time_ns()
        self._cache = Cache(find_cache_dir(config, project))
        self._database: StateDatabase | None = None

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def judge(self, expected: ExpectedOuts) -> dict[int, Verdict]:
        """A verdict on each out that is not certainly absent, by its position."""
        outs = expected.outs
        checks = {
            position: self._stat_out(outs[position])
            for position in expected.find_candidates(self._is_late)
        }
        files = [each for each in checks.values() if isinstance(each, FileCheck)]
        folders = [each for each in checks.values() if isinstance(each, FolderCheck)]
        self._use_records(files)
        for folder in sorted(folders, key=lambda folder: folder.out.entry.nfiles or 0):
            self._list_members(folder)
        members = [file for folder in folders for file in (folder.files or {}).values()]
        self._hash_files(files + members)
        for file in files:
            if file.found is not None:
                remember_hash(file.path, file.info, file.hash_name, file.found, self._started)
        return {position: self._decide(each) for position, each in checks.items()}

    def _stat_out(self, out: Out) -> Verdict | FileCheck | FolderCheck:
        """The verdict that one stat allows, or else the check to continue with."""
        if not out.local or self._is_late():
            return "open"
        try:
            info = os.stat(out.path)
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        except (OSError, ValueError):
            return "open"
        if out.entry.isdir and stat.S_ISDIR(info.st_mode):
            return FolderCheck(out)
        return self._check_file(out.path, info, out.entry)

    def _check_file(self, path: str, info: os.stat_result, entry: Entry) -> Verdict | FileCheck:
        if entry.isdir or not stat.S_ISREG(info.st_mode):
            return "different"
        if find_known_hash(path, info, entry.hash_name) == entry.hash:
            return "equal"
        # DVC 2 records the size of a text file, but hashes it with other line ends.
        if entry.hash_name == "md5" and entry.size not in (None, info.st_size):
            return "different"
        if entry.hash_name not in HASH_NAMES or entry.hash is None:
            return "open"
        file = FileCheck(path, info, entry.hash_name, entry.hash, self._find_cache_time(entry))
        file.use_link(self._cache)
        return file

    def _list_members(self, folder: FolderCheck) -> None:
        """Compare names and sizes with what is recorded, and set up the checks of the files."""
        path, entry = folder.out.path, folder.out.entry
        assert entry.hash is not None
        folder.verdict = self._find_folder_verdict(path, entry.hash)
        if (
            folder.verdict
            or time.monotonic() + (entry.nfiles or 0) / _FILES_PER_SECOND >= self._deadline
            or entry.hash_name not in HASH_NAMES
            or not entry.hash.endswith(".dir")
        ):
            return
        # Only a process that looks into folders pays for the ignore rules.
        from mlflow_dvc_plugin.capturing.workspace.folders import list_folder

        listed = list_folder(self._project, entry.path, self._deadline)
        if listed is None:
            return
        members = find_members(folder.out, self._cache)
        if not has_same_outline(listed, members, entry):
            folder.verdict = "different"
            return
        cached_ns = self._find_cache_time(entry)
        records = {}
        if not _is_little(listed.values()):
            records = self._open_database().find_records_below(path)
        files = {}
        for count, (name, info) in enumerate(listed.items()):
            if count % _CHECK_EVERY == 0 and self._is_late():
                return
            full = f"{path}{os.sep}{name.replace('/', os.sep)}"
            expected = members[name] if members is not None else None
            file = files[name] = FileCheck(full, info, entry.hash_name, expected, cached_ns)
            file.use_record(records.get(full))
            if file.found is None:
                file.use_link(self._cache)
        folder.files = files

    def _find_folder_verdict(self, path: str, value: str) -> Verdict | None:
        """The verdict on a folder that still stands."""
        moment, verdict, budget = _folder_verdicts.get((path, value), (0.0, None, 0.0))
        if verdict == "open" and budget < self._budget:
            return None  # with more time, more can be found out
        return verdict if time.monotonic() - moment < _FOLDER_SECONDS else None

    def _use_records(self, files: list[FileCheck]) -> None:
        unproven = [file for file in files if file.found is None]
        if not _is_little([file.info for file in unproven]) and not self._is_late():
            records = self._open_database().find_records(file.path for file in unproven)
            for file in unproven:
                file.use_record(records.get(file.path))

    def _hash_files(self, files: list[FileCheck]) -> None:
        unproven = [file for file in files if file.found is None]
        for file in unproven:
            file.found = find_known_hash(file.path, file.info, file.hash_name)
        # Small files first: that proves most files.
        for file in sorted(unproven, key=lambda file: file.info.st_size):
            if self._is_late():
                return
            if file.found is None:
                file.found = hash_file(file.path, file.info, file.hash_name, self._deadline)

    def _decide(self, check: Verdict | FileCheck | FolderCheck) -> Verdict:
        if isinstance(check, FileCheck):
            return check.verdict
        if not isinstance(check, FolderCheck):
            return check
        verdict = check.decide()
        if check.verdict is None and (verdict == "open" or check.files is not None):
            if len(_folder_verdicts) >= _MAX_FOLDERS:
                _folder_verdicts.clear()
            key = (check.out.path, check.out.entry.hash or "")
            _folder_verdicts[key] = (time.monotonic(), verdict, self._budget)
        return verdict

    def _is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _find_cache_time(self, entry: Entry) -> int:
        """When an out was put into the cache, in nanoseconds; 0 if that is not known."""
        info = self._cache.stat_object(entry.hash_name, entry.hash or "")
        return info.st_mtime_ns if info else 0

    def _open_database(self) -> StateDatabase:
        if self._database is None:
            from mlflow_dvc_plugin.capturing.workspace.state_database import (
                StateDatabase,
                find_database,
            )

            self._database = StateDatabase(find_database(self._project, self._config))
        return self._database


def _is_little(files: Collection[os.stat_result]) -> bool:
    return len(files) <= _FEW_FILES and sum(info.st_size for info in files) <= _FEW_BYTES
