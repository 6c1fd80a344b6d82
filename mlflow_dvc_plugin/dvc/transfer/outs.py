"""Fetch outs that no remote has by their hash: DVC follows their metafiles."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from dvc_objects.fs import generic
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.dvc.cache import Cache
from mlflow_dvc_plugin.dvc.errors import silence_logs, translate_errors
from mlflow_dvc_plugin.dvc.hashing import hash_file
from mlflow_dvc_plugin.dvc.transfer.download import download
from mlflow_dvc_plugin.dvc.transfer.sources import find_missing
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj, build_listing


class Outs:
    """Imports, and outs in cloud-versioned remotes.

    `path` is an out's path relative to the project, and `commit` is the Git
    commit whose metafiles count; None for the workspace's.
    """

    def __init__(self, repo: Any, cache: Cache) -> None:
        self._repo = repo
        self._cache = cache

    def fetch(self, path: str, commit: str | None, remote: str | None, jobs: int | None) -> None:
        """Fetch an out with DVC's own `fetch`, from the source that its metafile names."""
        targets = [self._to_full_path(path, commit)]
        revs = [commit] if commit else None
        with silence_logs(), translate_errors():
            self._repo.fetch(targets, jobs=jobs, remote=remote, revs=revs, workspace=commit is None)

    def fetch_from_source(self, path: str, obj: Obj, commit: str | None = None) -> None:
        """Fetch an `import-url` out from its source, which may have another version than `obj`."""
        with self._open_out(path, commit) as out, self._cache.create_staging() as folder:
            if out is None or not out.stage.is_import or out.stage.is_repo_import:
                raise DvcError("its metafile does not say where it was imported from")
            dep = out.stage.deps[0]
            source = dep.fs_path
            found = [source] if dep.fs.isfile(source) else list(dep.fs.find(source))
            staged = [os.path.join(folder, str(number)) for number in range(len(found))]
            generic.transfer(dep.fs, found, localfs, staged, links=["copy"])
            objs = [Obj(obj.hash_name, hash_file(name, obj.hash_name)) for name in staged]
            listing = b""
            fetched = objs[0] if objs else None
            if obj.value.endswith(DIR_SUFFIX):
                names = [dep.fs.relpath(name, source).replace(os.sep, "/") for name in found]
                hashes = {name: o.value for name, o in zip(names, objs, strict=True)}
                fetched, listing = build_listing(hashes)
            if fetched is None or fetched.value != obj.value:
                raise DvcError("its source has another version today")
            for name, member in zip(staged, objs, strict=True):
                self._cache.move_in(name, member)
            if listing:
                self._cache.save_bytes(listing, obj)

    def fetch_versions(self, files: Mapping[str, tuple[Obj, str]], remote: str) -> None:
        """Fetch files, by path, each with the remote's id of its version; no metafile is needed."""
        with translate_errors():
            source = self._repo.cloud.get_remote(remote, "pull")
            places = {
                obj.value: source.fs.version_path(source.fs.join(source.path, path), version)
                for path, (obj, version) in files.items()
            }
        versions = SimpleNamespace(fs=source.fs, oid_to_path=places.__getitem__)
        objs = [obj for obj, _ in files.values()]
        failed = download(versions, objs, self._cache, None, Progress())
        for obj, reason in failed.items():
            raise DvcError(f"{obj.value}: {reason}")

    def read_listing(self, path: str, commit: str | None = None) -> bytes | None:
        """Read a folder's listing from its metafile, which a cloud-versioned out has."""
        with self._open_out(path, commit) as out:
            data: bytes | None = out.get_obj().as_bytes() if out is not None and out.files else None
        return data

    def find_missing(self, path: str, obj: Obj, commit: str | None = None) -> list[str]:
        """Find the files of an out that its source lacks; "" stands for the out itself."""
        with self._open_out(path, commit) as out:
            return find_missing(self._repo, out, path, obj)

    @contextlib.contextmanager
    def _open_out(self, path: str, commit: str | None) -> Iterator[Any]:
        """Open DVC's own view of an out, with its errors as ours; None if metafiles lack it."""
        full = self._to_full_path(path, commit)
        revs = [commit] if commit else None
        with silence_logs(), translate_errors():
            for rev in self._repo.brancher(revs=revs, workspace=commit is None):
                # DVC may offer the workspace, too, when only a commit is asked for.
                if commit is None or rev != "workspace":
                    outs = self._repo.index.outs
                    yield next((out for out in outs if out.fs_path == full), None)
                    return
        yield None

    def _to_full_path(self, path: str, commit: str | None) -> str:
        """Make an out's absolute path, on the disk or in a commit."""
        full = os.path.join(self._repo.root_dir, path)
        if commit is None:
            return full
        return "/" + os.path.relpath(full, self._repo.scm.root_dir).replace(os.sep, "/")
