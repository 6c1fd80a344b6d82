"""The places where a project stores objects: its cache and its remotes, to search and to empty."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from dvc_data.hashfile.db import get_index

from mlflow_dvc_plugin.dvc.cache import STAGING
from mlflow_dvc_plugin.dvc.errors import describe_error, translate_errors
from mlflow_dvc_plugin.dvc.hashing import HASH_NAMES, hash_file, is_legacy, to_digest
from mlflow_dvc_plugin.dvc.listings import list_listings
from mlflow_dvc_plugin.dvc.transfer.remotes import check_folder, find_in_odb, read_bytes
from mlflow_dvc_plugin.state.objects import Obj

_THREADS = 16
_BATCH = 64  # listings


class Place:
    """A cache or a remote: today's part, and that of DVC 2.

    `remote` is the name of a remote; empty for the cache.
    """

    def __init__(self, parts: tuple[Any, Any], remote: str = "") -> None:
        self._parts = parts
        self.remote = remote
        self._is_local: bool = parts[1].fs.protocol == "local"

    def describe(self) -> str:
        """The place in a sentence."""
        return f"the remote {self.remote}" if self.remote else "the cache"

    def find(self, objs: Collection[Obj]) -> dict[Obj, os.stat_result | None]:
        """Find the objects that are there, by name; those in a local folder with their stat.

        Raises:
            EmptyRemoteError: the folder of a local remote does not exist.
        """
        if self._is_local:
            self._check_folder()
            found = {obj: _read_stat(self._path(obj)) for obj in objs}
            return {obj: info for obj, info in found.items() if info is not None}
        with translate_errors():
            return dict.fromkeys(o for legacy in (False, True) for o in self._find(objs, legacy))

    def list_folders(self) -> list[Obj]:
        """List the listings of folders that are there."""
        self._check_folder()
        found: list[Obj] = []
        for part, hash_name in zip(self._parts, HASH_NAMES, strict=True):
            with translate_errors():
                found += [Obj(hash_name, value) for value in list_listings(part)]
        return found

    def read(self, objs: Collection[Obj]) -> Iterator[tuple[Obj, bytes]]:
        """Read objects; those that are gone or damaged are left out."""
        rest = iter(objs)
        with ThreadPoolExecutor(_THREADS) as pool:
            while batch := list(islice(rest, _BATCH)):
                with translate_errors():
                    read = list(pool.map(self._read, batch))
                for obj, data in zip(batch, read, strict=True):
                    if data is not None and Obj.from_bytes(data).value == to_digest(obj):
                        yield obj, data

    def delete(self, objs: Collection[Obj]) -> dict[Obj, str]:
        """Delete objects for ever; return the reasons for those that could not be deleted."""
        with ThreadPoolExecutor(_THREADS) as pool:
            reasons = dict(zip(objs, pool.map(self._delete, objs), strict=True))
        if self.remote:
            for part in self._parts:
                # Otherwise DVC takes it for granted that the remote still has them.
                with translate_errors():
                    get_index(part).clear()
        return {obj: reason for obj, reason in reasons.items() if reason}

    def delete_leftovers(self, objs: Collection[Obj]) -> None:
        """Delete copies of objects that killed commands left under temporary names in a folder."""
        wanted = {(obj.hash_name, to_digest(obj)) for obj in objs}
        for path in self._find_leftovers(objs) if self._is_local else ():
            with contextlib.suppress(FileNotFoundError):
                if any((name, hash_file(path, name)) in wanted for name in HASH_NAMES):
                    os.unlink(path)

    def keeps_versions(self) -> bool | None:
        """Does the remote keep older versions of what is deleted? None if that is not known."""
        fs = self._parts[1].fs
        if fs.protocol in ("local", "ssh"):
            return False
        try:
            bucket = fs.fs.split_path(self._parts[1].path)[0]
            answer = fs.fs.call_s3("get_bucket_versioning", Bucket=bucket)
        except Exception:  # noqa: BLE001 - only S3 can be asked, and not everyone may ask it
            return None
        return "Status" in answer

    def _find(self, objs: Collection[Obj], legacy: bool) -> list[Obj]:
        some = [obj for obj in objs if is_legacy(obj) == legacy]
        values = find_in_odb(self._parts[legacy], [obj.value for obj in some]) if some else ()
        return [obj for obj in some if obj.value in values]

    def _find_leftovers(self, objs: Collection[Obj]) -> set[str]:
        """Find the temporary files of DVC, which are beside the objects, and our own."""
        beside = {os.path.dirname(self._path(obj)) for obj in objs}
        above = {os.path.dirname(folder) for folder in beside}
        patterns = [os.path.join(glob.escape(folder), ".*.tmp") for folder in beside | above]
        patterns.append(os.path.join(glob.escape(self._parts[1].path), STAGING, "*", "*"))
        found = {path for pattern in patterns for path in glob.iglob(pattern)}
        return {path for path in found if os.path.isfile(path)}

    def _path(self, obj: Obj) -> str:
        return str(self._parts[is_legacy(obj)].oid_to_path(obj.value))

    def _check_folder(self) -> None:
        if self.remote:
            check_folder(self._parts[0])

    def _read(self, obj: Obj) -> bytes | None:
        return read_bytes(self._parts[is_legacy(obj)].fs, self._path(obj))

    def _delete(self, obj: Obj) -> str:
        fs, path = self._parts[is_legacy(obj)].fs, self._path(obj)
        try:
            # `rm` of some file systems would take a path with `*` or `[` for a pattern.
            fs.rm_file(path)
        except FileNotFoundError:
            return ""
        except NotImplementedError:
            return "remotes of its kind delete nothing"
        except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
            return describe_error(err)
        return ""


class Storage:
    """The cache of a project, and all remotes that its configuration names."""

    def __init__(self, repo: Any) -> None:
        self._repo = repo
        self.cache = Place((repo.cache.local, repo.cache.legacy))
        self.remotes: tuple[str, ...] = tuple(repo.config["remote"])

    def is_versioned(self, remote: str) -> bool:
        """Is a remote cloud-versioned, so that it stores files by path instead of objects?"""
        config = self._repo.config["remote"][remote]
        return bool(config.get("version_aware") or config.get("worktree"))

    def open(self, remote: str) -> Place:
        """Open a remote; a DvcError if that fails."""
        with translate_errors():
            opened = self._repo.cloud.get_remote(remote, "forget")
            return Place((opened.odb, opened.legacy_odb), remote)


def _read_stat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
