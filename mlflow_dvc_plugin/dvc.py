"""The door to DVC: an open project's cache, remotes, links, locks and file formats.

Everything that asks DVC goes through here, with plain values on our side, so
that a new DVC release can break this module and no other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from dvc.cachemgr import LEGACY_HASH_NAMES
from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc_data.hashfile.hash import file_md5
from dvc_data.hashfile.hash_info import HashInfo
from dvc_objects.fs import generic
from dvc_objects.fs.local import localfs
from dvc_objects.fs.utils import tmp_fname
from fsspec.callbacks import Callback

from mlflow_dvc_plugin.capture.project import find_git
from mlflow_dvc_plugin.errors import DvcError, ProjectBusyError
from mlflow_dvc_plugin.objects import DIR_SUFFIX, Obj, bytes_obj
from mlflow_dvc_plugin.progress import Progress

_CHUNK = 1024 * 1024
_BATCH = 4096
_READ_ONLY = 0o444
_READERS = 16
_SAME_MOMENT = 0.02  # seconds from writing a file to renaming it into place


class DvcProject:
    """A DVC project, opened by DVC itself.

    Args:
        root: absolute path of the project.

    Raises:
        DvcError: DVC cannot open it.
    """

    def __init__(self, root: str) -> None:
        # A folder with only a copied .dvc/config says "Git", and has none.
        config = None if find_git(os.path.abspath(root)) else {"core": {"no_scm": True}}
        try:
            self._repo = Repo(root, config=config)
        except DvcException as err:
            raise _translated(err) from err
        self.root: str = self._repo.root_dir

    def close(self) -> None:
        """Close DVC's databases."""
        self._repo.close()

    # -- the cache ---------------------------------------------------------

    @property
    def tmp_dir(self) -> str:
        """The folder for temporary files, ``.dvc/tmp``."""
        return str(self._repo.tmp_dir)

    @property
    def link_types(self) -> list[str]:
        """How files get from the cache into the workspace, the preferred way first."""
        return list(self._repo.cache.local.cache_types)

    def cache_path(self, obj: Obj) -> str:
        """Where the cache has, or would have, an object."""
        return str(self._cache(obj.hash_name).oid_to_path(obj.value))

    def share_cache(self, project: str) -> None:
        """Have another project use this one's cache, by its local configuration.

        Args:
            project: absolute path of the other project.

        Raises:
            DvcError: its configuration cannot be written.
        """
        from dvc.config import Config

        settings = Config(os.path.join(project, ".dvc"), validate=False)
        with _translating(), settings.edit("local") as config:
            config["cache"]["dir"] = self._repo.cache.local_cache_dir

    def in_cache(self, objs: Iterable[Obj]) -> set[Obj]:
        """Those of the objects that the cache holds, each with the right bytes.

        The bytes are read, unless DVC's state database vouches for them.
        """
        present: dict[Obj, str] = {}
        infos: dict[str, os.stat_result] = {}
        for obj in objs:
            path = self.cache_path(obj)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                info = os.stat(path)
                if stat.S_ISREG(info.st_mode):
                    present[obj] = path
                    infos[path] = info
        known = self.known_hashes(infos, writable=False)
        good = {obj for obj, path in present.items() if known.get(path) == obj}
        doubtful = [(obj, path) for obj, path in present.items() if obj not in good]
        if doubtful:
            with ThreadPoolExecutor() as pool:
                found = pool.map(lambda item: _hash(item[1], item[0].hash_name), doubtful)
                right = [
                    item
                    for item, value in zip(doubtful, found, strict=True)
                    if value == _digest(item[0])
                ]
            for _, path in right:
                self._cache("md5").protect(path)
            self.remember({path: obj for obj, path in right})
            good |= {obj for obj, _ in right}
        return good

    def put(self, source: str, obj: Obj) -> None:
        """Save a file's bytes in the cache as `obj`; the file itself stays as it is.

        Raises:
            DvcError: the file's bytes are not those of `obj`.
        """
        with self._staging() as folder:
            staged = os.path.join(folder, "object")
            shutil.copyfile(source, staged)
            if _hash(staged, obj.hash_name) != _digest(obj):
                raise DvcError(f"{source} changed while it was being saved: try again.")
            self._adopt(staged, obj)

    def put_bytes(self, data: bytes, obj: Obj) -> None:
        """Save bytes in the cache as `obj`."""
        with self._staging() as folder:
            staged = os.path.join(folder, "object")
            with open(staged, "wb") as file:
                file.write(data)
            self._adopt(staged, obj)

    def hash_file(self, path: str, hash_name: str) -> str:
        """The hash of a file's bytes, without ``.dir``.

        Raises:
            DvcError: this kind of hash cannot be computed from a file.
            OSError: the file cannot be read.
        """
        return _hash(path, hash_name)

    def known_hashes(
        self, infos: Mapping[str, os.stat_result], writable: bool = True
    ) -> dict[str, Obj]:
        """Hashes of local files that DVC's state database vouches for.

        It does so by inode, size and modification time. A program can set the
        latter back, but not the time of the inode's change: where that is
        later, the record is not believed.

        Args:
            infos: the stat of each file, by absolute path.
            writable: people may have edited them; False for cache objects,
                whose inodes change whenever they are protected or linked.
        """
        sober = {
            path: {
                "type": "file",
                "size": info.st_size,
                "ino": info.st_ino,
                "mtime": info.st_mtime,
                "mode": info.st_mode,
            }
            for path, info in infos.items()
            if not writable or info.st_ctime - info.st_mtime < _SAME_MOMENT
        }
        found = {}
        for path, _, hash_info in self._repo.state.get_many(list(sober), localfs, sober):
            if hash_info is not None:
                found[path] = Obj(hash_info.name, hash_info.value)
        return found

    def remember(self, hashes: Mapping[str, Obj]) -> None:
        """Tell DVC's state database the hashes of local files."""
        items = []
        for path, obj in hashes.items():
            with contextlib.suppress(OSError):
                info = os.stat(path)
                known = {"ino": info.st_ino, "mtime": info.st_mtime, "size": info.st_size}
                items.append((path, HashInfo(obj.hash_name, obj.value), known))
        with contextlib.suppress(DvcException, OSError):
            self._repo.state.save_many(items, localfs)

    def remember_link(self, path: str) -> None:
        """Tell DVC that it may clean up this path when nothing tracks it any more."""
        with contextlib.suppress(DvcException, OSError):
            self._repo.state.save_link(path, localfs)

    # -- remotes -----------------------------------------------------------

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
            remote: name of the remote; None for the default one.
            jobs: how many at once; None for DVC's own choice.
            progress: hears of files and bytes.

        Returns:
            The objects that could not be had, and why.
        """
        failed: dict[Obj, str] = {}
        by_cache: dict[bool, list[Obj]] = {}
        for obj in objs:
            by_cache.setdefault(obj.hash_name in LEGACY_HASH_NAMES, []).append(obj)
        for legacy, wanted in by_cache.items():
            try:
                source = self._repo.cloud.get_remote_odb(
                    name=remote, command="pull", hash_name="md5-dos2unix" if legacy else "md5"
                )
            except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
                failed.update(dict.fromkeys(wanted, _reason(err)))
                continue
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                failed.update(self._fetch(source, batch, jobs, progress or Progress()))
        return failed

    def fetch_as_dvc(
        self,
        paths: Sequence[str],
        commit: str | None = None,
        remote: str | None = None,
        jobs: int | None = None,
    ) -> None:
        """Bring outs into the cache by DVC's own `fetch`, for those that no hash finds.

        Imports and outs in cloud-versioned remotes are found by what their
        metafiles say, so it is the metafiles' places that are contacted.

        Args:
            paths: the outs, relative to the project.
            commit: whose metafiles to go by; None for the workspace's.
            remote: name of the remote; None for the one that each out has.
            jobs: how many at once.

        Raises:
            DvcError: DVC could not bring all of them.
        """
        targets = [self._place(path, commit) for path in paths]
        revs = [commit] if commit else None
        with _quiet(), _translating():
            self._repo.fetch(targets, jobs=jobs, remote=remote, revs=revs, workspace=commit is None)

    def fetch_from_source(self, path: str, obj: Obj, commit: str | None = None) -> None:
        """Bring an `import-url` out into the cache from where it was imported.

        Args:
            path: the out, relative to the project.
            obj: what it must be: what the source has today may be another version.
            commit: whose metafile to go by; None for the workspace's.

        Raises:
            DvcError: the source has it no more.
        """
        with self._out(path, commit) as out, self._staging() as folder, _quiet(), _translating():
            if out is None or not out.stage.is_import or out.stage.is_repo_import:
                raise DvcError("its metafile does not say where it was imported from")
            dep = out.stage.deps[0]
            found = [dep.fs_path] if dep.fs.isfile(dep.fs_path) else list(dep.fs.find(dep.fs_path))
            staged = [os.path.join(folder, str(number)) for number in range(len(found))]
            generic.transfer(dep.fs, found, localfs, staged, links=["copy"])
            hashes = [Obj(obj.hash_name, _hash(name, obj.hash_name)) for name in staged]
            if obj.value.endswith(DIR_SUFFIX):
                names = [dep.fs.relpath(name, dep.fs_path).replace(os.sep, "/") for name in found]
                members = zip(names, hashes, strict=True)
                rows = [{"md5": member.value, "relpath": name} for name, member in sorted(members)]
                listing = json.dumps(rows, sort_keys=True).encode()
                value = bytes_obj(listing).value + DIR_SUFFIX
            else:
                listing, value = b"", hashes[0].value
            if value != obj.value:
                raise DvcError("the place that it was imported from has another version today")
            for name, member in zip(staged, hashes, strict=True):
                self._adopt(name, member)
            if listing:
                self.put_bytes(listing, obj)

    def listing_as_dvc(self, path: str, commit: str | None = None) -> bytes | None:
        """A folder's listing as its metafile has it, for one in a cloud-versioned remote.

        Args:
            path: the out, relative to the project.
            commit: whose metafile to go by; None for the workspace's.

        Raises:
            DvcError: the metafile cannot be read.
        """
        with self._out(path, commit) as out, _quiet(), _translating():
            data: bytes | None = out.get_obj().as_bytes() if out is not None and out.files else None
        return data

    @contextlib.contextmanager
    def _out(self, path: str, commit: str | None) -> Iterator[Any]:
        """DVC's own view of an out; None if the metafiles have none."""
        place = self._place(path, commit)
        revs = [commit] if commit else None
        with _quiet(), _translating():
            for rev in self._repo.brancher(revs=revs, workspace=commit is None):
                # DVC may offer the workspace as well: that is not what was asked for.
                if commit is None or rev != "workspace":
                    outs = self._repo.index.outs
                    yield next((out for out in outs if out.fs_path == place), None)
                    return
        yield None

    def _place(self, path: str, commit: str | None) -> str:
        """An out's absolute path, on the disk or in a commit."""
        full = os.path.join(self.root, path)
        if commit is None:
            return full
        return "/" + os.path.relpath(full, self._repo.scm.root_dir).replace(os.sep, "/")

    def check_remote(self, name: str | None) -> None:
        """Refuse a remote that is not configured.

        Raises:
            DvcError: there is none of that name.
        """
        known = list(self._repo.config["remote"])
        if name is not None and name not in known:
            raise DvcError(
                f"There is no DVC remote {name!r} here; there is: {', '.join(known) or 'none'}."
            )

    def has_remote(self) -> bool:
        """There is a default remote."""
        return bool(self._repo.config["core"].get("remote"))

    def in_remote(self, objs: Iterable[Obj], remote: str | None = None) -> set[Obj]:
        """Those of the objects that a remote has.

        Args:
            objs: what to look for.
            remote: name of the remote; None for the default one.

        Raises:
            DvcError: the remote did not answer.
        """
        found: set[Obj] = set()
        by_cache: dict[str, list[Obj]] = {}
        for obj in objs:
            name = "md5-dos2unix" if obj.hash_name in LEGACY_HASH_NAMES else "md5"
            by_cache.setdefault(name, []).append(obj)
        for name, some in by_cache.items():
            try:
                odb = self._repo.cloud.get_remote_odb(name=remote, command="status", hash_name=name)
                present = _present(odb, [obj.value for obj in some])
            except Exception as err:  # each kind of remote has its own errors
                raise DvcError(_reason(err)) from err
            found.update(obj for obj in some if obj.value in present)
        return found

    def read(self, objs: Iterable[Obj], remote: str | None = None) -> Iterator[tuple[Obj, bytes]]:
        """The bytes of objects, from the cache or else a remote; nothing is written.

        Args:
            objs: what to read, such as folders' listings.
            remote: name of the remote; None for the default one.

        Returns:
            The objects that either has, each with bytes that have its hash.

        Raises:
            DvcError: a remote has to be asked, and did not answer.
        """
        absent: dict[str, list[Obj]] = {}
        for obj in objs:
            try:
                with open(self.cache_path(obj), "rb") as file:
                    data = file.read()
            except OSError:
                data = None
            if data is not None and bytes_obj(data).value == _digest(obj):
                yield obj, data
            else:
                name = "md5-dos2unix" if obj.hash_name in LEGACY_HASH_NAMES else "md5"
                absent.setdefault(name, []).append(obj)
        for name, some in absent.items():
            try:
                odb = self._repo.cloud.get_remote_odb(name=remote, command="fetch", hash_name=name)
                _reachable(odb)
                with ThreadPoolExecutor(_READERS) as pool:
                    found = list(pool.map(partial(_read, odb), some))
            except Exception as err:  # each kind of remote has its own errors
                raise DvcError(_reason(err)) from err
            for obj, data in zip(some, found, strict=True):
                if data is not None and bytes_obj(data).value == _digest(obj):
                    yield obj, data

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
            remote: name of the remote; None for the default one.
            jobs: how many at once; None for DVC's own choice.
            progress: hears of files and bytes.

        Returns:
            The objects that could not be sent, and why.
        """
        failed: dict[Obj, str] = {}
        groups: dict[tuple[bool, str], list[Obj]] = {}
        for obj in objs:
            name = "md5-dos2unix" if obj.hash_name in LEGACY_HASH_NAMES else "md5"
            groups.setdefault((obj.value.endswith(DIR_SUFFIX), name), []).append(obj)
        for (listings, name), some in sorted(groups.items()):
            if listings and failed:
                # Whoever finds a listing in a remote believes that its files are there.
                failed.update(dict.fromkeys(some, "files of it could not be sent"))
                continue
            by_value = {obj.value: obj for obj in some}
            try:
                odb = self._repo.cloud.get_remote_odb(name=remote, command="push", hash_name=name)
                odb.add(
                    [self.cache_path(obj) for obj in some],
                    localfs,
                    list(by_value),
                    callback=_Bytes(progress or Progress()),
                    check_exists=False,
                    batch_size=jobs,
                    on_error=partial(_note_failure, failed, by_value),
                )
            except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
                failed.update(dict.fromkeys(some, _reason(err)))
        return failed

    def _fetch(
        self, source: Any, objs: Sequence[Obj], jobs: int | None, progress: Progress
    ) -> dict[Obj, str]:
        failed: dict[Obj, str] = {}
        with self._staging() as folder:
            staged = {os.path.join(folder, str(n)): obj for n, obj in enumerate(objs)}

            def on_error(_: str, to_path: str, err: BaseException) -> None:
                failed[staged[to_path]] = _reason(err)

            try:
                generic.transfer(
                    source.fs,
                    [source.oid_to_path(obj.value) for obj in objs],
                    localfs,
                    list(staged),
                    callback=_Bytes(progress),
                    batch_size=jobs,
                    on_error=on_error,
                )
            except Exception as err:  # noqa: BLE001 - each kind of remote has its own errors
                reason = _reason(err)
                failed.update(
                    (obj, reason) for path, obj in staged.items() if not os.path.exists(path)
                )
            arrived = [(p, obj) for p, obj in staged.items() if obj not in failed]
            with ThreadPoolExecutor() as pool:
                for obj, reason in pool.map(self._take_in, arrived):
                    if reason:
                        failed[obj] = reason
                    progress.advance(files=1)
            taken = [obj for _, obj in arrived if obj not in failed]
            self.remember({self.cache_path(obj): obj for obj in taken})
        return failed

    def _take_in(self, item: tuple[str, Obj]) -> tuple[Obj, str]:
        path, obj = item
        try:
            if _hash(path, obj.hash_name) != _digest(obj):
                return obj, "the remote has other bytes under this hash"
            self._adopt(path, obj)
        except OSError as err:
            return obj, _reason(err)
        return obj, ""

    def _adopt(self, staged: str, obj: Obj) -> None:
        cache = self._cache(obj.hash_name)
        target = cache.oid_to_path(obj.value)
        cache.makedirs(os.path.dirname(target))
        os.chmod(staged, _READ_ONLY)
        os.replace(staged, target)

    def _cache(self, hash_name: str) -> Any:
        legacy = hash_name in LEGACY_HASH_NAMES
        return self._repo.cache.legacy if legacy else self._repo.cache.local

    @contextlib.contextmanager
    def _staging(self) -> Iterator[str]:
        """A folder on the cache's own disk, for what is not verified yet."""
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

    # -- the workspace -----------------------------------------------------

    def files_in(self, folder: str) -> Iterator[str]:
        """Absolute paths of the files in a folder, without what ``.dvcignore`` leaves out."""
        for root, _, files in self._repo.dvcignore.walk(localfs, folder):
            for name in files:
                yield f"{root}{os.sep}{name}"

    def usable_link_types(self, folder: str, linked: bool = True) -> list[str]:
        """Those of the project's link types that work from the cache into `folder`.

        Args:
            folder: absolute path.
            linked: files may be one with the cache's; False for true copies alone.

        Raises:
            DvcError: none does.
        """
        cache = self._repo.cache.local
        os.makedirs(cache.path, exist_ok=True)
        probe = os.path.join(folder, tmp_fname())
        types = self.link_types if linked else ["reflink", "copy"]
        found = generic.test_links(types, cache.fs, cache.path, localfs, probe)
        if not found:
            raise DvcError(
                f"None of the project's link types ({', '.join(self.link_types)}) works here: "
                "see `dvc config cache.type`."
            )
        return list(found)

    def link(self, link_type: str, source: str, target: str) -> None:
        """Make `target` a reflink, hardlink or symlink of `source`.

        Raises:
            OSError: the file system cannot.
        """
        getattr(localfs, link_type)(source, target)

    # -- locks -------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self, paths: Sequence[str]) -> Iterator[None]:
        """Keep other DVC commands out, and away from `paths` (absolute).

        Raises:
            ProjectBusyError: another DVC command is at work; DVC's own waiting
                time has passed.
        """
        from dvc.lock import LockError

        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock_repo(self._repo))
            except LockError as err:
                raise ProjectBusyError(
                    f"Another DVC command{self._lock_holder()} is at work in this project: "
                    "wait for it, then try again."
                ) from err
            self._refuse_claimed(paths)
            yield

    def _refuse_claimed(self, paths: Sequence[str]) -> None:
        """Refuse paths that a stage being run reads or writes: then DVC holds no lock.

        DVC's record of them is only read. Writing it would leave it half
        written if this process were killed, and DVC could not go on.
        """
        import psutil

        try:
            with open(os.path.join(self.tmp_dir, "rwlock"), encoding="utf-8") as file:
                record = json.load(file)
            claims = [(path, [info]) for path, info in record.get("write", {}).items()]
            claims += list(record.get("read", {}).items())
            holders = [
                (path, info)
                for path, infos in claims
                for info in infos
                if psutil.pid_exists(int(info["pid"])) and int(info["pid"]) != os.getpid()
            ]
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return
        for claimed, info in holders:
            for path in paths:
                if localfs.overlaps(path, claimed):
                    raise ProjectBusyError(
                        f"{os.path.relpath(path, self.root)} is in use by process {info['pid']} "
                        f"({info.get('cmd', 'dvc')}): wait for it, then try again."
                    )

    def _lock_holder(self) -> str:
        import psutil

        try:
            with open(os.path.join(self.tmp_dir, "lock")) as file:
                pid = int(file.read().split()[0])
            command = " ".join(psutil.Process(pid).cmdline())
        except (OSError, ValueError, IndexError, psutil.Error):
            return ""
        return f" (process {pid}: {command[:100]})"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep DVC's own log lines from the terminal: what failed is said once, by us."""
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    before = [(logger, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    try:
        yield
    finally:
        for logger, propagate in before:
            logger.propagate = propagate


@contextlib.contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (DvcException, OSError) as err:
        raise DvcError(_reason(err)) from err


class _Bytes(Callback):  # type: ignore[misc]
    """Counts the bytes of all files that are on their way."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def branched(self, *_: Any, **__: Any) -> _FileBytes:
        return _FileBytes(self._progress)


class _FileBytes(Callback):  # type: ignore[misc]
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def relative_update(self, inc: int = 1) -> None:
        self._progress.advance(size=inc)
        super().relative_update(inc)

    def absolute_update(self, value: int) -> None:
        self._progress.advance(size=value - self.value)
        super().absolute_update(value)


def _present(odb: Any, values: Sequence[str]) -> set[str]:
    """Those of the hashes that a remote has; it is an error if that cannot be known."""
    _reachable(odb)
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


def _reachable(odb: Any) -> None:
    """A folder that is not mounted looks like an empty remote, but is none."""
    if odb.fs.protocol == "local":
        root = odb.path
        while os.path.basename(root) in ("md5", "files") and not os.path.isdir(root):
            root = os.path.dirname(root)
        if not os.path.isdir(root):
            raise DvcError(f"the remote's folder {root} is not there")


def _first_byte(odb: Any, value: str) -> bool:
    return _content(odb, value, 1) is not None


def _read(odb: Any, obj: Obj) -> bytes | None:
    return _content(odb, obj.value, -1)


def _content(odb: Any, value: str, size: int) -> bytes | None:
    """The first bytes of a remote's object, -1 for all; None if it is surely not there."""
    path = odb.oid_to_path(value)
    try:
        if odb.fs.protocol in ("http", "https"):
            # Opening a file would take any failure for an absent one.
            part = {"start": 0, "end": size} if size > 0 else {}
            return bytes(odb.fs.fs.cat_file(path, **part))
        with odb.fs.open(path, "rb") as file:
            return bytes(file.read(size))
    except FileNotFoundError:
        return None


def _note_failure(
    failed: dict[Obj, str], by_value: Mapping[str, Obj], value: str, err: BaseException
) -> None:
    failed[by_value[value]] = _reason(err)


def _remove_old(folder: str) -> None:
    """Remove what killed processes left in a folder a day ago or earlier."""
    with contextlib.suppress(OSError):
        for item in list(os.scandir(folder)):
            if time.time() - item.stat().st_mtime > 24 * 3600:
                shutil.rmtree(item.path, ignore_errors=True)


def _hash(path: str, hash_name: str) -> str:
    if hash_name == "md5":
        digest = hashlib.md5(usedforsecurity=False)
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()
    if hash_name in LEGACY_HASH_NAMES:
        return str(file_md5(path, localfs, name=hash_name))
    raise DvcError(f"a hash of kind {hash_name!r} cannot be computed from a file")


def _digest(obj: Obj) -> str:
    return obj.value.removesuffix(DIR_SUFFIX)


def _reason(err: BaseException) -> str:
    if isinstance(err, FileNotFoundError):
        return "not in the remote"
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    lines = str(err).strip().splitlines()
    return lines[0] if lines else type(err).__name__


def _translated(err: DvcException) -> DvcError:
    return DvcError(_reason(err))
