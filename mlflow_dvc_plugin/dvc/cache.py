"""A project's cache: the objects on this machine, each verified before it gets there."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from configobj import ConfigObj, ConfigObjError
from dvc_objects.fs import generic
from dvc_objects.fs.local import localfs
from dvc_objects.fs.utils import tmp_fname

from mlflow_dvc_plugin.dvc.database import Database
from mlflow_dvc_plugin.dvc.errors import describe_error
from mlflow_dvc_plugin.dvc.hashing import has_object_bytes, is_legacy
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.file_copy import delete_abandoned
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import Obj

LINK_TYPES = ("reflink", "hardlink", "symlink", "copy")
STAGING = "mlflow-dvc"  # a folder in the cache, for files that are not verified yet
_READ_ONLY = 0o444
_LARGE = 1024 * 1024  # bytes
_BATCH = 5000  # objects


class Cache:
    """The cache of a project, as DVC opened it; other projects may share it.

    `folder` is the absolute path of the cache, `folders` are those of today's part and of
    that of DVC 2. `types` are the link types that the project uses, the preferred one first.
    """

    def __init__(self, repo: Any, database: Database) -> None:
        self._repo = repo
        self._database = database
        self._verified: dict[Obj, os.stat_result] = {}
        self.folder = str(repo.cache.local_cache_dir)
        self.types: list[str] = list(repo.cache.local.cache_types)
        self.folders = [str(part.path) for part in (repo.cache.local, repo.cache.legacy)]

    def path(self, obj: Obj) -> str:
        """The path of an object, whether the cache has it or not."""
        # The same as DVC's own method, which takes longer than reading a small file.
        value = obj.value
        return f"{self.folders[is_legacy(obj)]}{os.sep}{value[:2]}{os.sep}{value[2:]}"

    def share_with(self, project: str) -> None:
        """Make another project use this cache, in its local configuration.

        Whatever its own configuration says: it may be that of a commit of others.
        """
        # DVC itself can read any path here, but cannot write one that is not ASCII.
        path = os.path.join(project, ".dvc", "config.local")
        try:
            config = ConfigObj(path, encoding="utf-8")
            # `local` names a remote that is the cache, and an empty one means none.
            cache = {"dir": self.folder, "local": ""}
            config.setdefault("cache", {}).update(cache)
            own = self._repo.config["core"].get("site_cache_dir", "")
            config.setdefault("core", {})["site_cache_dir"] = own
            config.write()
        except (ConfigObjError, OSError, UnicodeError) as err:
            raise DvcError(f"{path} cannot be written: {err}.") from err

    def find_objects(self, objs: Iterable[Obj], progress: Progress | None = None) -> set[Obj]:
        """Find the objects that the cache has, each with the right bytes.

        The bytes are read, unless DVC's state database has their hash.
        """
        good: set[Obj] = set()
        rest = iter(objs)
        # In batches: a million files at once would take much memory.
        with ThreadPoolExecutor() as pool:
            while batch := list(islice(rest, _BATCH)):
                good |= self._find_verified(batch, pool, progress or Progress())
        return good

    def _find_verified(
        self, objs: Sequence[Obj], pool: ThreadPoolExecutor, progress: Progress
    ) -> set[Obj]:
        files: dict[str, Obj] = {}
        infos: dict[str, os.stat_result] = {}
        for obj in objs:
            path = self.path(obj)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                info = os.stat(path)
                if stat.S_ISREG(info.st_mode):
                    files[path], infos[path] = obj, info
        known = self._database.find_hashes(infos, files, writable=False)
        verified = [path for path, obj in files.items() if known.get(path) == obj]
        unknown = [path for path, obj in files.items() if known.get(path) != obj]
        progress.advance(files=len(objs) - len(unknown))

        def verify(path: str) -> bool:
            same = has_object_bytes(path, files[path])
            progress.advance(files=1)
            return same

        good = [p for p, same in zip(unknown, pool.map(verify, unknown), strict=True) if same]
        for path in good:
            self._repo.cache.local.protect(path)
        self._database.save_hashes({path: (files[path], infos[path]) for path in good})
        verified += good
        self._verified.update(
            {files[path]: infos[path] for path in verified if infos[path].st_size > _LARGE}
        )
        return {files[path] for path in verified}

    def find_missing(self, objs: Iterable[Obj]) -> set[Obj]:
        """Find the objects that the cache has no file of; the files are not read."""
        return {obj for obj in objs if not os.access(self.path(obj), os.F_OK)}

    def verified_stat(self, obj: Obj) -> os.stat_result | None:
        """The stat of a large object when its bytes were verified; None if they were not."""
        return self._verified.get(obj)

    def read_out(self, entry: Entry) -> bytes | None:
        """Read the bytes of an out that is a file; None if the cache does not have them."""
        value = str(entry.hash)  # it may come from a tag
        if len(value) != 32 or not value.isalnum():
            return None
        try:
            with open(self.path(Obj(entry.hash_name, value)), "rb") as file:
                return file.read()
        except OSError:
            return None

    def save_file(self, source: str, obj: Obj) -> None:
        """Save a file's bytes in the cache as `obj`; refuse others. The file does not change."""
        with self.create_staging() as folder:
            staged = os.path.join(folder, "object")
            shutil.copyfile(source, staged)
            # Soon this is the only copy, and it must survive a power failure.
            with open(staged, "rb+") as file:
                os.fsync(file.fileno())
            if not has_object_bytes(staged, obj):
                raise DvcError(
                    f"{source} changed while it was being saved. Run the same command again."
                )
            self.move_in(staged, obj)

    def save_bytes(self, data: bytes, obj: Obj) -> None:
        """Save bytes in the cache as `obj`."""
        with self.create_staging() as folder:
            staged = os.path.join(folder, "object")
            with open(staged, "wb") as file:
                file.write(data)
            self.move_in(staged, obj)

    def move_in(self, staged: str, obj: Obj) -> None:
        """Move a verified file to its place in the cache."""
        target = self.path(obj)
        os.chmod(staged, _READ_ONLY)
        try:
            os.replace(staged, target)
        except FileNotFoundError:
            part = self._repo.cache.legacy if is_legacy(obj) else self._repo.cache.local
            part.makedirs(os.path.dirname(target))
            os.replace(staged, target)

    def save_hashes(self, objs: Mapping[Obj, os.stat_result]) -> None:
        """Save in DVC's database which objects were verified, with their stat at that time."""
        self._verified.update({obj: info for obj, info in objs.items() if info.st_size > _LARGE})
        self._database.save_hashes({self.path(obj): (obj, info) for obj, info in objs.items()})

    @contextlib.contextmanager
    def create_staging(self) -> Iterator[str]:
        """Create a folder on the cache's own disk for files that are not verified yet."""
        above = os.path.join(self.folder, STAGING)
        folder = os.path.join(above, uuid.uuid4().hex)
        try:
            os.makedirs(folder)
        except OSError as err:
            raise DvcError(f"The DVC cache cannot be written to: {err}.") from err
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            delete_abandoned(above)
            with contextlib.suppress(OSError):
                os.rmdir(above)

    def test_link_types(self, folder: str) -> list[str]:
        """Find which of all link types really work from the cache into a folder, by trying.

        A cache that does not exist yet is not made: the folder that will have it stands for it.
        """
        probe = os.path.join(folder, tmp_fname())
        cache = self.folders[0]
        while not os.path.isdir(cache):
            cache = os.path.dirname(cache)
        try:
            return list(generic.test_links(list(LINK_TYPES), localfs, cache, localfs, probe))
        except OSError as err:
            raise DvcError(f"No file can be written to {cache}: {describe_error(err)}") from err

    def find_link_types(self, folder: str, linked: bool = True) -> list[str]:
        """Find the link types that work into a folder, the preferred one first.

        Those that are not true copies count if `linked`.
        """
        cache = self._repo.cache.local
        os.makedirs(cache.path, exist_ok=True)
        probe = os.path.join(folder, tmp_fname())
        types = self.types if linked else ["reflink", "copy"]
        try:
            found = generic.test_links(types, cache.fs, cache.path, localfs, probe)
        except OSError:
            # The cache is read-only: a link type that does not work is found when it is used.
            found = types
        if not found:
            raise DvcError(
                f"None of the project's link types ({', '.join(types)}) works here. Set another "
                "one with `dvc config cache.type`."
            )
        return list(found)

    @staticmethod
    def create_link(kind: str, source: str, target: str) -> None:
        """Make `target` a reflink, hardlink or symlink of `source`."""
        getattr(localfs, kind)(source, target)
