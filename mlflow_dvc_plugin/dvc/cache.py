"""A project's cache: the objects on this machine, each verified before it is there."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from mlflow_dvc_plugin.dvc.database import Database
from mlflow_dvc_plugin.dvc.hashing import has_object_bytes, is_legacy
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import Obj

_READ_ONLY = 0o444
_LARGE = 1024 * 1024  # bytes
_BATCH = 5000  # objects


class Cache:
    """The cache that a project uses, which others may use as well.

    Args:
        repo: the project, as DVC opened it.
        database: the hashes of files that DVC remembers.

    Attributes:
        folders: where the objects are, today's and those of DVC 2.
    """

    def __init__(self, repo: Any, database: Database) -> None:
        self._repo = repo
        self._database = database
        self._verified: dict[Obj, os.stat_result] = {}
        self.folders = [str(part.path) for part in (repo.cache.local, repo.cache.legacy)]

    def path(self, obj: Obj) -> str:
        """Where the cache has, or would have, an object."""
        # As DVC puts it together; its own method takes longer than reading a small file.
        value = obj.value
        return f"{self.folders[is_legacy(obj)]}{os.sep}{value[:2]}{os.sep}{value[2:]}"

    def share_with(self, project: str) -> None:
        """Have another project use this cache, by its local configuration.

        Args:
            project: absolute path of the other project.

        Raises:
            DvcError: its configuration cannot be written.
        """
        from configobj import ConfigObj, ConfigObjError

        # As DVC does it, which can read any path, but writes none that is not ASCII.
        path = os.path.join(project, ".dvc", "config.local")
        try:
            config = ConfigObj(path, encoding="utf-8")
            config.setdefault("cache", {})["dir"] = self._repo.cache.local_cache_dir
            config.write()
        except (ConfigObjError, OSError, UnicodeError) as err:
            raise DvcError(f"{path} cannot be written: {err}.") from err

    def find_objects(self, objs: Iterable[Obj], progress: Progress | None = None) -> set[Obj]:
        """Those of the objects that the cache holds, each with the right bytes.

        The bytes are read, unless DVC's state database vouches for them.

        Args:
            objs: the objects.
            progress: hears of them.
        """
        good: set[Obj] = set()
        rest = iter(objs)
        # In batches: what is known of a million files at once takes much memory.
        with ThreadPoolExecutor() as pool:
            while batch := list(islice(rest, _BATCH)):
                good |= self._find_verified(batch, pool, progress or Progress())
        return good

    def _find_verified(
        self, objs: Sequence[Obj], pool: ThreadPoolExecutor, progress: Progress
    ) -> set[Obj]:
        there: dict[str, Obj] = {}
        infos: dict[str, os.stat_result] = {}
        for obj in objs:
            path = self.path(obj)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                info = os.stat(path)
                if stat.S_ISREG(info.st_mode):
                    there[path] = obj
                    infos[path] = info
        known = self._database.find_hashes(infos, there, writable=False)
        good = [path for path, obj in there.items() if known.get(path) == obj]
        doubtful = [path for path, obj in there.items() if known.get(path) != obj]
        progress.advance(files=len(objs) - len(doubtful))
        if doubtful:

            def is_right(path: str) -> bool:
                same = has_object_bytes(path, there[path])
                progress.advance(files=1)
                return same

            found = pool.map(is_right, doubtful)
            right = [path for path, same in zip(doubtful, found, strict=True) if same]
            for path in right:
                self._repo.cache.local.protect(path)
            self._database.save_hashes({path: (there[path], infos[path]) for path in right})
            good += right
        large = {there[path]: infos[path] for path in good if infos[path].st_size > _LARGE}
        self._verified.update(large)
        return {there[path] for path in good}

    def find_missing(self, objs: Iterable[Obj]) -> set[Obj]:
        """Those of the objects that the cache has no file of, whatever is in the others'."""
        return {obj for obj in objs if not os.access(self.path(obj), os.F_OK)}

    def verified_stat(self, obj: Obj) -> os.stat_result | None:
        """The stat that a large object had when it was seen to have the right bytes."""
        return self._verified.get(obj)

    def save_file(self, source: str, obj: Obj) -> None:
        """Save a file's bytes in the cache as `obj`; the file itself stays as it is.

        Raises:
            DvcError: the file's bytes are not those of `obj`.
        """
        with self.create_staging() as folder:
            staged = os.path.join(folder, "object")
            shutil.copyfile(source, staged)
            # Soon it is all that there is of it, even if the power fails.
            with open(staged, "rb+") as file:
                os.fsync(file.fileno())
            if not has_object_bytes(staged, obj):
                raise DvcError(f"{source} changed while it was being saved: try again.")
            self.move_in(staged, obj)

    def save_bytes(self, data: bytes, obj: Obj) -> None:
        """Save bytes in the cache as `obj`."""
        with self.create_staging() as folder:
            staged = os.path.join(folder, "object")
            with open(staged, "wb") as file:
                file.write(data)
            self.move_in(staged, obj)

    def move_in(self, staged: str, obj: Obj) -> None:
        """Move a staged file to its place in the cache; its bytes are the object's."""
        target = self.path(obj)
        os.chmod(staged, _READ_ONLY)
        try:
            os.replace(staged, target)
        except FileNotFoundError:
            self._part(obj).makedirs(os.path.dirname(target))
            os.replace(staged, target)

    def save_hashes(self, objs: Mapping[Obj, os.stat_result]) -> None:
        """Tell DVC which objects were verified, and their stat at that time."""
        self._verified.update({obj: info for obj, info in objs.items() if info.st_size > _LARGE})
        self._database.save_hashes({self.path(obj): (obj, info) for obj, info in objs.items()})

    @contextlib.contextmanager
    def create_staging(self) -> Iterator[str]:
        """A folder on the cache's own disk, for what is not verified yet.

        Raises:
            DvcError: the cache cannot be written to.
        """
        above = os.path.join(self._repo.cache.local_cache_dir, "mlflow-dvc")
        folder = os.path.join(above, uuid.uuid4().hex)
        try:
            os.makedirs(folder)
        except OSError as err:
            raise DvcError(f"The DVC cache cannot be written to: {err}.") from err
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            _remove_old(above)
            with contextlib.suppress(OSError):
                os.rmdir(above)

    def _part(self, obj: Obj) -> Any:
        return self._repo.cache.legacy if is_legacy(obj) else self._repo.cache.local


def _remove_old(folder: str) -> None:
    """Remove what killed processes left in a folder a day ago or earlier."""
    with contextlib.suppress(OSError):
        for item in list(os.scandir(folder)):
            if time.time() - item.stat().st_mtime > 24 * 3600:
                shutil.rmtree(item.path, ignore_errors=True)
