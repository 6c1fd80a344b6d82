"""A project's remotes: what they have, and moving objects from and to them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import Any

from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.dvc.cache import Cache
from mlflow_dvc_plugin.dvc.errors import describe_error, translate_errors
from mlflow_dvc_plugin.dvc.hashing import is_legacy, to_digest
from mlflow_dvc_plugin.dvc.transfer.download import ByteCount, download
from mlflow_dvc_plugin.errors import DvcError, EmptyRemoteError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj

_READERS = 16


class Remotes:
    """The remotes that a project's configuration names.

    In each method a remote is given by its name; None is the default one.

    Args:
        repo: the project, as DVC opened it.
        cache: the objects on this machine.
    """

    def __init__(self, repo: Any, cache: Cache) -> None:
        self._repo = repo
        self._cache = cache

    def check_name(self, name: str | None) -> None:
        """Refuse a remote that is not configured.

        Raises:
            DvcError: there is none of that name.
        """
        known = list(self._repo.config["remote"])
        if name is not None and name not in known:
            raise DvcError(
                f"There is no DVC remote {name!r} here; there is: {', '.join(known) or 'none'}."
            )

    def has_default(self) -> bool:
        """There is a default remote."""
        return bool(self._repo.config["core"].get("remote"))

    def find_objects(self, objs: Iterable[Obj], remote: str | None = None) -> set[Obj]:
        """Those of the objects that a remote has.

        Raises:
            EmptyRemoteError: the folder of a local remote does not exist.
            DvcError: the remote does not answer.
        """
        found: set[Obj] = set()
        for legacy, some in _group_by_part(objs):
            with translate_errors():
                odb = self._open(remote, legacy, "status")
                there = find_in_odb(odb, [obj.value for obj in some])
            found.update(obj for obj in some if obj.value in there)
        return found

    def read_objects(
        self, objs: Iterable[Obj], remote: str | None = None
    ) -> Iterator[tuple[Obj, bytes]]:
        """The bytes of objects, from the cache or else a remote; nothing is written.

        Args:
            objs: what to read, such as folders' listings.
            remote: where to read what the cache lacks.

        Returns:
            The objects that either has, each with bytes that have its hash.

        Raises:
            EmptyRemoteError: the folder of a local remote does not exist.
            DvcError: the remote is needed and does not answer.
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
        for legacy, some in _group_by_part(absent):
            with translate_errors():
                odb = self._open(remote, legacy, "fetch")
                _check_folder(odb)
                with ThreadPoolExecutor(_READERS) as pool:
                    found = list(pool.map(partial(_read, odb), some))
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
        """Bring objects from a remote into the cache, each verified before it is there.

        Args:
            objs: what to bring.
            remote: where from.
            jobs: how many at once; None for DVC's own choice.
            progress: hears of files and bytes.

        Returns:
            The objects that could not be had, and why.
        """
        failed: dict[Obj, str] = {}
        for legacy, wanted in _group_by_part(objs):
            try:
                odb = self._open(remote, legacy, "pull")
            except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
                failed.update(dict.fromkeys(wanted, describe_error(err)))
                continue
            failed.update(download(odb, wanted, self._cache, jobs, progress or Progress()))
        return failed

    def upload(
        self,
        objs: Iterable[Obj],
        remote: str | None = None,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> dict[Obj, str]:
        """Send objects of the cache to a remote; folders' listings go last.

        Args:
            objs: what to send; each is in the cache.
            remote: where to.
            jobs: how many at once; None for DVC's own choice.
            progress: hears of files and bytes.

        Returns:
            The objects that could not be sent, and why.
        """
        failed: dict[Obj, str] = {}
        listings: list[Obj] = []
        files: list[Obj] = []
        for obj in objs:
            (listings if obj.value.endswith(DIR_SUFFIX) else files).append(obj)
        for some in (files, listings):
            if some is listings and failed:
                # Whoever finds a listing in a remote believes that its files are there.
                failed.update(dict.fromkeys(some, "files of it could not be sent"))
                continue
            for legacy, part in _group_by_part(some):
                failed.update(self._upload(part, legacy, remote, jobs, progress or Progress()))
        return failed

    def _upload(
        self,
        objs: Sequence[Obj],
        legacy: bool,
        remote: str | None,
        jobs: int | None,
        progress: Progress,
    ) -> dict[Obj, str]:
        failed: dict[Obj, str] = {}
        by_value = {obj.value: obj for obj in objs}
        try:
            self._open(remote, legacy, "push").add(
                [self._cache.path(obj) for obj in objs],
                localfs,
                list(by_value),
                callback=ByteCount(progress),
                check_exists=False,
                batch_size=jobs,
                on_error=partial(_note_failure, failed, by_value),
            )
        except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
            failed.update(dict.fromkeys(objs, describe_error(err)))
        return failed

    def _open(self, name: str | None, legacy: bool, command: str) -> Any:
        """The part of a remote that has objects of one kind; `command` is for DVC's messages."""
        hash_name = "md5-dos2unix" if legacy else "md5"
        return self._repo.cloud.get_remote_odb(name=name, command=command, hash_name=hash_name)


def _group_by_part(objs: Iterable[Obj]) -> Iterator[tuple[bool, list[Obj]]]:
    """The objects by whether they are in the part for DVC before 3."""
    for legacy, some in groupby(sorted(objs, key=is_legacy), key=is_legacy):
        yield legacy, list(some)


def find_in_odb(odb: Any, values: Sequence[str]) -> set[str]:
    """Those of the hashes that a remote has; it is an error if that cannot be known."""
    _check_folder(odb)
    if odb.fs.protocol == "local":
        # DVC's own question would read each file, and remove those that are damaged.
        return set(odb.list_oids_exists(values))
    present = set(odb.oids_exist(values))
    absent = [value for value in values if value not in present]
    # Some file systems answer "no" where they should say "I could not ask".
    with ThreadPoolExecutor(_READERS) as pool:
        late = pool.map(lambda value: _first_byte(odb, value), absent)
        present.update(value for value, there in zip(absent, late, strict=True) if there)
    return present


def _check_folder(odb: Any) -> None:
    """Tell a remote whose folder does not exist, or is not mounted, from one without the objects.

    Raises:
        EmptyRemoteError: the folder of a local remote does not exist.
    """
    if odb.fs.protocol == "local":
        root = odb.path
        while os.path.basename(root) in ("md5", "files") and not os.path.isdir(root):
            root = os.path.dirname(root)
        if not os.path.isdir(root):
            raise EmptyRemoteError(root)


def _first_byte(odb: Any, value: str) -> bool:
    return read_bytes(odb.fs, odb.oid_to_path(value), 1) is not None


def _read(odb: Any, obj: Obj) -> bytes | None:
    return read_bytes(odb.fs, odb.oid_to_path(obj.value), -1)


def read_bytes(fs: Any, path: str, size: int) -> bytes | None:
    """The first bytes of a file elsewhere, -1 for all; None if it is surely not there."""
    try:
        if fs.protocol in ("http", "https"):
            # Opening a file would take any failure for an absent one.
            part = {"start": 0, "end": size} if size > 0 else {}
            return bytes(fs.fs.cat_file(path, **part))
        with fs.open(path, "rb") as file:
            return bytes(file.read(size))
    except FileNotFoundError:
        return None


def _note_failure(
    failed: dict[Obj, str], by_value: Mapping[str, Obj], value: str, err: BaseException
) -> None:
    failed[by_value[value]] = describe_error(err)
