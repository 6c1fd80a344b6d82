"""A read-only fsspec file system with the files of a run's data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.local import LocalFileSystem, make_path_posix, trailing_sep
from fsspec.utils import other_paths

from mlflow_dvc_plugin.errors import FolderError, NoFileError, ReadOnlyError
from mlflow_dvc_plugin.restoring.files.paths import is_external
from mlflow_dvc_plugin.restoring.origin import Origin, find_origin
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.run_files import uri
from mlflow_dvc_plugin.run_files.object_reader import ObjectReader
from mlflow_dvc_plugin.run_files.tree import Item, Tree
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.tracking import Run, find_run

_THREADS = 16


class RunData(NamedTuple):
    """What a file system is made from: small, so that it can be sent to many processes."""

    run_id: str
    entries: tuple[Entry, ...]
    origin: Origin


class RunFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A read-only file system with the files of a run's data.

    Paths are relative to the run's project. `info` and `ls` tell the size and the hash. What
    is read as a whole (`cat`, `get`, `cat_file`) is verified by its hash. What is read in parts
    (`open`, or `cat_file` with a range) is not: only the parts that are needed are
    downloaded.

    It is pickled as the run's state: a process that gets it opens its own connections, with
    its own credentials.

    The arguments are those of :func:`~mlflow_dvc_plugin.filesystem`.
    """

    protocol = uri.PROTOCOL
    root_marker = ""
    # The run that an alias stands for may change.
    cachable = False

    def __init__(
        self,
        run: str | Run | RunData,
        url: str | None = None,
        project: str | None = None,
        config: str | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(run, RunData):
            origin = find_origin(project, url, config)
            found = find_run(run, tracking_uri) if isinstance(run, str) else run
            state = load_state(found, project=origin.project or None)
            # DVC has the bytes of these, and they are in the project.
            outs = [e for e in state.entries if e.hash and e.cached and not is_external(e.path)]
            run = RunData(found.run_id, tuple(outs), origin)
        self._data = run
        self._reader = ObjectReader(run.origin)
        self._tree = Tree(run.entries, self._reader.read)
        self._sizes: dict[str, int] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return RunFileSystem, (self._data,)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._data.run_id

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return uri.strip_protocol(os.fspath(path))

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        return {"run": uri.parse_uri(path)[0]}

    def unstrip_protocol(self, name: str) -> str:
        """The address of a path."""
        return uri.build_uri(self.run_id, self._strip_protocol(name))

    # -- what there is -------------------------------------------------------------

    def info(self, path: str, sizes: bool = True, **_: Any) -> dict[str, Any]:
        """Name, size in bytes, type and hash of a file or folder; the size is None without `sizes`.

        The hash is as DVC writes it, with ``.dir`` for a tracked folder; None for other folders.
        """
        item = self._tree.find(self._strip_protocol(path))
        return self._describe([item], sizes)[0]

    def ls(self, path: str, detail: bool = True, sizes: bool = True, **_: Any) -> list[Any]:
        """What is in a folder: as :meth:`info` describes it, or the paths alone."""
        items = self._tree.list(self._strip_protocol(path))
        return self._describe(items, sizes) if detail else [item.path for item in items]

    def exists(self, path: str, **_: Any) -> bool:
        """Is there a file or folder?"""
        try:
            self._tree.find(self._strip_protocol(path))
        except NoFileError:
            return False
        return True

    def isdir(self, path: str) -> bool:
        """Is it a folder?"""
        return self.exists(path) and self._tree.find(self._strip_protocol(path)).isdir

    def isfile(self, path: str) -> bool:
        """Is it a file?"""
        return self.exists(path) and not self.isdir(path)

    def checksum(self, path: str) -> Any:
        """The hash of a file or tracked folder."""
        return self.info(path, sizes=False)["hash"]

    ukey = checksum

    # The size of a file in a folder must be asked for, so that is only done where it is wanted.

    def walk(self, path: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """As fsspec does."""
        kwargs.setdefault("sizes", kwargs.get("detail", False))
        yield from super().walk(path, *args, **kwargs)

    def find(self, path: str, *args: Any, detail: bool = False, **kwargs: Any) -> Any:
        """As fsspec does."""
        kwargs.setdefault("sizes", detail)
        return super().find(path, *args, detail=detail, **kwargs)

    def glob(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """As fsspec does."""
        kwargs.setdefault("sizes", kwargs.get("detail", False))
        return super().glob(path, *args, **kwargs)

    def _describe(self, items: Sequence[Item], sizes: bool) -> list[dict[str, Any]]:
        if sizes:
            known = self._sizes
            unknown = [i for i in items if i.obj and i.size is None and i.path not in known]
            known.update(self._reader.find_sizes(i for i in unknown if not i.isdir))
        return [
            {
                "name": i.path,
                "size": self._sizes.get(i.path) if i.size is None and not i.isdir else i.size or 0,
                "type": "directory" if i.isdir else "file",
                "hash": i.obj.value if i.obj else None,
                "hash_name": i.obj.hash_name if i.obj else None,
            }
            for i in items
        ]

    # -- reading -------------------------------------------------------------------

    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, **_: Any
    ) -> BinaryIO:
        if mode != "rb":
            raise ReadOnlyError
        return self._reader.open(self._find_file(path), block_size)

    def cat(
        self, path: Any, recursive: bool = False, on_error: str = "raise", **kwargs: Any
    ) -> Any:
        """The bytes of a file, or of many by path, which are verified; folders are left out."""
        found = self.expand_path(path, recursive=recursive)
        if isinstance(path, str) and found == [self._strip_protocol(path)]:
            return self.cat_file(found[0], **kwargs)
        files = [each for each in found if not self.isdir(each)]

        def read(each: str) -> bytes | Exception:
            try:
                return self.cat_file(each, **kwargs)
            except Exception as err:
                if on_error == "raise":
                    raise
                return err

        with ThreadPoolExecutor(_THREADS) as pool:
            contents = dict(zip(files, pool.map(read, files), strict=True))
        if on_error == "omit":
            return {each: data for each, data in contents.items() if isinstance(data, bytes)}
        return contents

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        """The bytes of a file, which are verified; or a part of them, which is not."""
        if start is None and end is None:
            return self._reader.read(self._find_file(path))
        with self._open(path, **kwargs) as file:
            first, after, _ = slice(start, end).indices(file.seek(0, os.SEEK_END))
            file.seek(first)
            return file.read(max(0, after - first))

    def get_file(self, rpath: str, lpath: Any, **_: Any) -> None:
        """Write a file to the disk; it is verified before it gets there."""
        self._write([rpath], [lpath])

    def get(
        self,
        rpath: str | list[str],
        lpath: str | list[str],
        recursive: bool = False,
        callback: Any = DEFAULT_CALLBACK,  # noqa: ARG002 - fsspec passes it
        maxdepth: int | None = None,
        **_: Any,
    ) -> None:
        """Write files to the disk, many at once; each is verified before it gets there."""
        if isinstance(rpath, list) and isinstance(lpath, list):
            self._write(rpath, lpath)
            return
        found = self.expand_path(rpath, recursive=recursive, maxdepth=maxdepth)
        # As fsspec's own: what is named decides whether the target is a folder.
        is_one = isinstance(rpath, str)
        if is_one and (not recursive or maxdepth is not None):
            found = [path for path in found if not self.isdir(path)]
        if not found:
            return
        target = make_path_posix(lpath) if isinstance(lpath, str) else lpath
        goes_into = isinstance(target, str) and (
            trailing_sep(target) or LocalFileSystem().isdir(target)
        )
        magic = isinstance(rpath, str) and any(char in rpath for char in "*?[")
        ends = isinstance(rpath, str) and trailing_sep(rpath)
        exists = is_one and ((magic and len(found) == 1) or (not magic and goes_into and not ends))
        self._write(found, other_paths(found, target, exists=exists, flatten=not is_one))

    def _write(self, paths: Iterable[str], targets: Iterable[str]) -> None:
        files: dict[str, Item] = {}
        for path, target in zip(paths, targets, strict=True):
            full = os.path.abspath(target)
            item = self._tree.find(self._strip_protocol(path))
            if item.isdir:
                os.makedirs(full, exist_ok=True)
            else:
                files[full] = item
        self._reader.write_files(files)

    def _find_file(self, path: str) -> Item:
        item = self._tree.find(self._strip_protocol(path))
        if item.isdir:
            raise FolderError(item.path)
        return item

    # -- writing -------------------------------------------------------------------

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise ReadOnlyError

    mkdir = makedirs = rmdir = rm = rm_file = _rm = cp_file = copy = mv = _refuse
    put = put_file = pipe = pipe_file = touch = sign = _refuse
