"""A project's remotes: find, read, fetch and upload objects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

import fsspec
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.dvc.cache import Cache
from mlflow_dvc_plugin.dvc.errors import describe_error, translate_errors
from mlflow_dvc_plugin.dvc.hashing import is_legacy, to_digest
from mlflow_dvc_plugin.dvc.transfer.counters import ByteCounter
from mlflow_dvc_plugin.dvc.transfer.download import download
from mlflow_dvc_plugin.errors import DvcError, EmptyRemoteError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

_THREADS = 16
# Options of a remote whose values nobody else may see.
_SECRET = re.compile(r"pass|secret|token|key|credential|connection_string|_auth")


class Remotes:
    """The remotes that a project's configuration names.

    `remote` is the name of a remote (None for the default one), and `jobs` is
    how many objects are transferred at once (None for DVC's own choice).
    """

    def __init__(self, repo: Any, cache: Cache) -> None:
        self._repo = repo
        self._cache = cache

    def check_name(self, remote: str | None) -> None:
        """Refuse a remote that is not configured."""
        names = list(self._repo.config["remote"])
        if remote is not None and remote not in names:
            known = f"The remotes are: {', '.join(names)}." if names else "There is no remote."
            raise DvcError(f"There is no DVC remote {remote!r} in this project. {known}")

    def find_default(self) -> str | None:
        """Find the name of the default remote; None if the project has none."""
        return self._repo.config["core"].get("remote") or None

    def list_schemes(self) -> dict[str, str]:
        """List the kind of each remote by name: the scheme of its address, or ``local``."""
        urls = {
            name: str(each.get("url", "")) for name, each in self._repo.config["remote"].items()
        }
        return {name: urlsplit(url).scheme or "local" for name, url in urls.items()}

    @staticmethod
    def import_file_system(scheme: str) -> None:
        """Import what a kind of remote needs: it may take longer than the remote's answer."""
        with suppress(ImportError, ValueError):
            fsspec.get_filesystem_class(scheme)

    def list_secrets(self) -> list[str]:
        """List all passwords and keys that the configuration of the remotes has."""
        return [
            value
            for config in self._repo.config["remote"].values()
            for option, value in config.items()
            if _SECRET.search(option) and isinstance(value, str)
        ]

    def find_objects(self, objs: Iterable[Obj], remote: str | None = None) -> set[Obj]:
        """Find the objects that a remote has.

        Raises:
            EmptyRemoteError: the folder of a local remote does not exist.
        """
        found: set[Obj] = set()
        for legacy, some in group_by_part(objs):
            with translate_errors():
                odb = self._open(remote, legacy, "status")
                values = find_in_odb(odb, [obj.value for obj in some])
            found.update(obj for obj in some if obj.value in values)
        return found

    def read_objects(
        self, objs: Iterable[Obj], remote: str | None = None
    ) -> Iterator[tuple[Obj, bytes]]:
        """Read objects from the cache or else from a remote, and verify them; nothing is written.

        Raises:
            EmptyRemoteError: the folder of a local remote does not exist.
        """
        absent: list[Obj] = []
        for obj in objs:
            try:
                with open(self._cache.path(obj), "rb") as file:
                    data = file.read()
            except OSError:
                data = None
            if data is not None and Obj.from_bytes(data).value == to_digest(obj):
                yield obj, data
            else:
                absent.append(obj)
        for odb, some in self.open_parts(absent, remote, "fetch"):
            with translate_errors(), ThreadPoolExecutor(_THREADS) as pool:
                paths = [odb.oid_to_path(obj.value) for obj in some]
                found = list(pool.map(partial(read_bytes, odb.fs), paths))
            for obj, data in zip(some, found, strict=True):
                if data is not None and Obj.from_bytes(data).value == to_digest(obj):
                    yield obj, data

    def fetch(
        self,
        objs: Iterable[Obj],
        remote: str | None = None,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> dict[Obj, str]:
        """Bring verified objects into the cache; return the reasons for those that failed."""
        failed: dict[Obj, str] = {}
        for legacy, some in group_by_part(objs):
            try:
                odb = self._open(remote, legacy, "pull")
                check_folder(odb)
            except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
                failed.update(dict.fromkeys(some, describe_error(err)))
                continue
            failed.update(download(odb, some, self._cache, jobs, progress or Progress()))
        return failed

    def upload(
        self,
        objs: Iterable[Obj],
        remote: str | None = None,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> dict[Obj, str]:
        """Send objects of the cache, listings last; return the reasons for those that failed."""
        failed: dict[Obj, str] = {}
        by_kind: tuple[list[Obj], list[Obj]] = ([], [])
        for obj in objs:
            by_kind[obj.value.endswith(DIR_SUFFIX)].append(obj)
        for some in by_kind:
            if some is by_kind[True] and failed:
                # Other programs take a listing in a remote as proof that its files are there.
                failed.update(dict.fromkeys(some, "files of it could not be sent"))
                continue
            for legacy, part in group_by_part(some):
                by_value = {obj.value: obj for obj in part}
                try:
                    self._open(remote, legacy, "push").add(
                        [self._cache.path(obj) for obj in part],
                        localfs,
                        list(by_value),
                        callback=ByteCounter(progress or Progress()),
                        check_exists=False,
                        batch_size=jobs,
                        on_error=partial(_add_failure, failed, by_value),
                    )
                except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
                    failed.update(dict.fromkeys(part, describe_error(err)))
        return failed

    def open_parts(
        self, objs: Iterable[Obj], remote: str | None, command: str
    ) -> Iterator[tuple[Any, list[Obj]]]:
        """Open the parts of a remote that objects belong in, as DVC does."""
        for legacy, some in group_by_part(objs):
            with translate_errors():
                odb = self._open(remote, legacy, command)
                check_folder(odb)
            yield odb, some

    def _open(self, name: str | None, legacy: bool, command: str) -> Any:
        """Open the part of a remote for one kind of hash; DVC's messages name the command."""
        hash_name = "md5-dos2unix" if legacy else "md5"
        if name is not None and name.lower() not in self._repo.config["remote"]:
            raise DvcError(f"its remote {name!r} is not configured here")
        if name is None and self.find_default() is None:
            raise DvcError("no default remote is configured here")
        return self._repo.cloud.get_remote_odb(name=name, command=command, hash_name=hash_name)


def group_by_part(objs: Iterable[Obj]) -> Iterator[tuple[bool, list[Obj]]]:
    """Group objects by whether they belong in the part of a remote that DVC 2 used."""
    for legacy, some in groupby(sorted(objs, key=is_legacy), key=is_legacy):
        yield legacy, list(some)


def _add_failure(
    failed: dict[Obj, str], by_value: Mapping[str, Obj], value: str, err: BaseException
) -> None:
    failed[by_value[value]] = describe_error(err)


def find_in_odb(odb: Any, values: Sequence[str]) -> set[str]:
    """Find the hashes that a part of a remote has; any failure to find out is raised."""
    check_folder(odb)
    if odb.fs.protocol == "local":
        # DVC's own check would read each file, and delete those that are damaged.
        return set(odb.list_oids_exists(values))
    found = set(odb.oids_exist(values))
    absent = [value for value in values if value not in found]
    # Some file systems answer "no" where they could not find out: try to read a byte.
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = pool.map(lambda value: read_bytes(odb.fs, odb.oid_to_path(value), 1), absent)
        found.update(v for v, part in zip(absent, parts, strict=True) if part is not None)
    return found


def check_folder(odb: Any) -> None:
    """Tell a remote whose folder does not exist, or is not mounted, from an empty one."""
    if odb.fs.protocol == "local":
        root = odb.path
        while os.path.basename(root) in ("md5", "files") and not os.path.isdir(root):
            root = os.path.dirname(root)
        if not os.path.isdir(root):
            raise EmptyRemoteError(root)


def read_bytes(fs: Any, path: str, size: int = -1) -> bytes | None:
    """Read the first bytes of a remote file, or all; None if it certainly does not exist."""
    try:
        if fs.protocol in ("http", "https"):
            # Opening a file would report any failure as a missing file.
            part = {"start": 0, "end": size} if size > 0 else {}
            return bytes(fs.fs.cat_file(path, **part))
        with fs.open(path, "rb") as file:
            return bytes(file.read(size))
    except FileNotFoundError:
        return None
