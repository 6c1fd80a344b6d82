"""Checks of single files and folders: is the content what the metafiles record?"""

from __future__ import annotations

import os
from typing import Literal

from mlflow_dvc_plugin.capturing.formats.outs import Out
from mlflow_dvc_plugin.capturing.workspace.cache import Cache
from mlflow_dvc_plugin.state import Entry, hash_record
from mlflow_dvc_plugin.state.objects import build_listing

Verdict = Literal["equal", "different", "absent", "open"]

HASH_NAMES = ("md5", "md5-dos2unix")
# The two timestamps of one write differ by no more.
_SAME_WRITE_NS = 20_000_000


class FileCheck:
    """The check of a file's content."""

    __slots__ = ("cached_ns", "expected", "found", "hash_name", "info", "path")

    def __init__(
        self,
        path: str,
        info: os.stat_result,
        hash_name: str,
        expected: str | None,
        cached_ns: int,
    ) -> None:
        self.path = path
        self.info = info
        self.hash_name = hash_name
        self.expected = expected  # the hash that it should have; None if any hash will do
        # When DVC put it into the cache, or later; 0 if that is not known.
        self.cached_ns = cached_ns
        self.found: str | None = None  # the hash that it has, once that is proven

    @property
    def verdict(self) -> Verdict:
        """What is proven so far."""
        if self.found is None:
            return "open"
        return "equal" if self.expected in (None, self.found) else "different"

    def use_record(self, record: str | None, same_write_ns: int = _SAME_WRITE_NS) -> None:
        """Take the hash from DVC's state database, if its record is of this very file.

        DVC itself compares inode, mtime and size, but the mtime can be set back
        after an edit. The ctime cannot: it must be that of the last write, or be
        older than the copy in the cache.
        """
        if record is None:
            return
        info = self.info
        is_last_write = abs(info.st_ctime_ns - info.st_mtime_ns) <= same_write_ns
        if not is_last_write and info.st_ctime_ns > self.cached_ns:
            return
        checksum = hash_record.compute_checksum(info)
        if (
            self.expected is not None
            and self.hash_name == "md5"
            and hash_record.has_hash(record, checksum, self.expected)
        ):
            self.found = self.expected
            return
        known = hash_record.parse_record(record, checksum)
        if known and known[0] == self.hash_name:
            self.found = known[1]

    def use_link(self, cache: Cache) -> None:
        """Take the hash from the object in the cache, if this file is a link to it."""
        if self.expected is None:
            return
        if self.info.st_nlink > 1 or os.path.islink(self.path):
            info = cache.stat_object(self.hash_name, self.expected)
            if info and (info.st_dev, info.st_ino) == (self.info.st_dev, self.info.st_ino):
                self.found = self.expected


class FolderCheck:
    """The check of a folder's members."""

    def __init__(self, out: Out) -> None:
        self.out = out
        self.verdict: Verdict | None = None  # what was decided without its files
        self.files: dict[str, FileCheck] | None = None  # by POSIX path in it, once it was listed

    def decide(self) -> Verdict:
        """The verdict, after everything that the budget allows."""
        if self.verdict is not None or self.files is None:
            return self.verdict or "open"
        verdicts = {file.verdict for file in self.files.values()}
        if "different" in verdicts:
            return "different"
        if "open" in verdicts:
            return "open"
        if all(file.expected is not None for file in self.files.values()):
            return "equal"
        # The hash of each member is not recorded, only that of all together.
        members = {name: file.found or "" for name, file in self.files.items()}
        is_equal = build_listing(members)[0].value == self.out.entry.hash
        return "equal" if is_equal else "different"


def find_members(out: Out, cache: Cache) -> dict[str, str] | None:
    """The recorded hash of each member of a folder; None if they are not known."""
    if out.files is None:
        return cache.read_listing(out.entry.hash_name, out.entry.hash or "")
    if not all(file.get("md5") for file in out.files):
        return None
    return {str(file["relpath"]): str(file["md5"]).lower() for file in out.files}


def has_same_outline(
    listed: dict[str, os.stat_result], members: dict[str, str] | None, entry: Entry
) -> bool:
    """Does a folder have the recorded names, number of files and total size?"""
    if entry.nfiles not in (None, len(listed)):
        return False
    if members is not None and members.keys() != listed.keys():
        return False
    if entry.hash_name != "md5" or entry.size is None:
        return True
    return entry.size == sum(info.st_size for info in listed.values())
