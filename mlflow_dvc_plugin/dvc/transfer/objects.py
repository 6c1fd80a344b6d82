"""Read objects, from the cache or else from a remote; the cache stays as it is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from mlflow_dvc_plugin.dvc.cache import Cache
from mlflow_dvc_plugin.dvc.errors import describe_error
from mlflow_dvc_plugin.dvc.hashing import hash_bytes, to_digest
from mlflow_dvc_plugin.dvc.transfer.download import OTHER_BYTES, Store, download
from mlflow_dvc_plugin.dvc.transfer.remotes import Remotes, group_by_part
from mlflow_dvc_plugin.errors import NoObjectError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import Obj


class Objects:
    """The objects of a project's cache and remotes, to read.

    `remote` is the name of a remote; None for the default one.
    """

    def __init__(self, repo: Any, cache: Cache, remotes: Remotes) -> None:
        self._repo = repo
        self._cache = cache
        self._remotes = remotes

    def open(self, obj: Obj, remote: str | None, block_size: int | None = None) -> BinaryIO:
        """Open an object to read it, from a remote in blocks; its bytes are not verified.

        Raises:
            NoObjectError: neither the cache nor the remote has it.
        """
        with suppress(FileNotFoundError):
            return open(self._cache.path(obj), "rb")
        return self._open_in_remote(obj, remote, {"block_size": block_size} if block_size else {})

    def read(self, obj: Obj, remote: str | None) -> bytes:
        """Read an object, and verify it.

        Raises:
            NoObjectError: neither the cache nor the remote has it, with the right bytes.
        """
        with suppress(FileNotFoundError), open(self._cache.path(obj), "rb") as file:
            data = file.read()
            if hash_bytes(data, obj.hash_name) == to_digest(obj):
                return data
        with _translate_errors():
            ((odb, _),) = self._remotes.open_parts([obj], remote, "fetch")
            # Opening the file would ask for its size first.
            data = bytes(odb.fs.fs.cat_file(odb.oid_to_path(obj.value)))
        if hash_bytes(data, obj.hash_name) != to_digest(obj):
            raise NoObjectError(OTHER_BYTES)
        return data

    def _open_in_remote(self, obj: Obj, remote: str | None, options: dict[str, Any]) -> BinaryIO:
        with _translate_errors():
            ((odb, _),) = self._remotes.open_parts([obj], remote, "fetch")
            file: BinaryIO = odb.fs.open(odb.oid_to_path(obj.value), mode="rb", **options)
        return file

    def find_sizes(self, objs: Iterable[Obj], remote: str | None) -> dict[Obj, int]:
        """Find how many bytes objects have; those that are nowhere are left out."""
        sizes: dict[Obj, int] = {}
        absent: list[Obj] = []
        for obj in objs:
            path = self._cache.path(obj)
            if os.access(path, os.F_OK):
                sizes[obj] = os.path.getsize(path)
            else:
                absent.append(obj)
        for odb, some in self._remotes.open_parts(absent, remote, "status"):
            paths = [odb.oid_to_path(obj.value) for obj in some]
            infos = odb.fs.info(paths, return_exceptions=True)
            for obj, info in zip(some, infos, strict=True):
                if isinstance(info, FileNotFoundError):
                    continue
                if isinstance(info, Exception):
                    raise NoObjectError(describe_error(info)) from info
                if info.get("size") is not None:
                    sizes[obj] = int(info["size"])
        return sizes

    def write_files(
        self,
        files: Mapping[str, Obj],
        remote: str | None,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> dict[Obj, str]:
        """Write objects to files, by absolute path, each verified before it gets there.

        Returns:
            The reasons for the objects that could not be had.
        """
        progress = progress or Progress()
        places = _Places(files)
        missing = self._cache.find_missing(places.paths)
        # In the order of the listing: neighbours are often read together.
        cached = [obj for obj in places.paths if obj not in missing]
        failed: dict[Obj, str] = {}
        parts = (self._repo.cache.local, self._repo.cache.legacy)
        for legacy, some in group_by_part(cached):
            failed.update(download(parts[legacy], some, places, jobs, progress))
        # A damaged object of the cache is fetched, too.
        absent = [obj for obj in places.paths if obj in missing or obj in failed]
        failed = {}
        for odb, some in self._remotes.open_parts(absent, remote, "fetch"):
            failed.update(download(odb, some, places, jobs, progress))
        return failed


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise any error of a remote as one that says why there is no object."""
    try:
        yield
    except Exception as err:  # each kind of remote has its own errors
        raise NoObjectError(describe_error(err)) from err


class _Places(Store):
    """The files that objects are written to: a download's destination, like a cache."""

    def __init__(self, files: Mapping[str, Obj]) -> None:
        self.paths: dict[Obj, list[str]] = {}
        for path, obj in files.items():
            self.paths.setdefault(obj, []).append(path)
        self.folders = [os.path.commonpath([os.path.dirname(path) for path in files] or ["/"])]
        for folder in {os.path.dirname(path) for path in files}:
            os.makedirs(folder, exist_ok=True)

    @contextmanager
    def create_staging(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix=".mlflow-dvc-", dir=self.folders[0]) as folder:
            yield folder

    def move_in(self, staged: str, obj: Obj) -> None:
        first, *others = self.paths[obj]
        for number, path in enumerate(others):
            copied = f"{staged}-{number}"
            shutil.copyfile(staged, copied)
            os.replace(copied, path)
        os.replace(staged, first)

    def save_hashes(self, objs: Mapping[Obj, os.stat_result]) -> None:
        """Nothing is saved of files that are the user's."""
