"""Outs that no hash finds: DVC itself fetches them, by what their metafiles say."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dvc_objects.fs import generic
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.dvc.cache import Cache
from mlflow_dvc_plugin.dvc.errors import describe_error, silence_logs, translate_errors
from mlflow_dvc_plugin.dvc.hashing import hash_file
from mlflow_dvc_plugin.dvc.transfer.download import download
from mlflow_dvc_plugin.errors import DvcError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj, build_listing


class Outs:
    """What DVC makes of outs: imports, and those in cloud-versioned remotes.

    Args:
        repo: the project, as DVC opened it.
        cache: where they go.
    """

    def __init__(self, repo: Any, cache: Cache) -> None:
        self._repo = repo
        self._cache = cache

    def fetch(
        self,
        paths: Sequence[str],
        commit: str | None = None,
        remote: str | None = None,
        jobs: int | None = None,
    ) -> None:
        """Bring outs into the cache by DVC's own `fetch`.

        It is the metafiles' places that are contacted.

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
        with silence_logs(), translate_errors():
            self._repo.fetch(targets, jobs=jobs, remote=remote, revs=revs, workspace=commit is None)

    def fetch_from_source(self, path: str, obj: Obj, commit: str | None = None) -> None:
        """Bring an `import-url` out into the cache from where it was imported.

        Args:
            path: the out or a file in it, relative to the project.
            obj: what it must be: what the source has today may be another version.
            commit: whose metafile to go by; None for the workspace's.

        Raises:
            DvcError: the source has it no more.
        """
        with (
            self.open_out(path, commit) as out,
            self._cache.create_staging() as folder,
            silence_logs(),
            translate_errors(),
        ):
            if out is None or not out.stage.is_import or out.stage.is_repo_import:
                raise DvcError("its metafile does not say where it was imported from")
            dep = out.stage.deps[0]
            inside = os.path.relpath(self._place(path, commit), out.fs_path)
            source = dep.fs_path if inside == "." else dep.fs.join(dep.fs_path, inside)
            found = [source] if dep.fs.isfile(source) else list(dep.fs.find(source))
            staged = [os.path.join(folder, str(number)) for number in range(len(found))]
            generic.transfer(dep.fs, found, localfs, staged, links=["copy"])
            hashes = [Obj(obj.hash_name, hash_file(name, obj.hash_name)) for name in staged]
            if obj.value.endswith(DIR_SUFFIX):
                names = [dep.fs.relpath(name, source).replace(os.sep, "/") for name in found]
                members = zip(names, (member.value for member in hashes), strict=True)
                found_obj, listing = build_listing(dict(members))
                value = found_obj.value
            else:
                listing, value = b"", hashes[0].value
            if value != obj.value:
                raise DvcError("the place that it was imported from has another version today")
            for name, member in zip(staged, hashes, strict=True):
                self._cache.move_in(name, member)
            if listing:
                self._cache.save_bytes(listing, obj)

    def fetch_versions(self, files: Mapping[str, tuple[Obj, str]], remote: str) -> None:
        """Bring files into the cache from a cloud-versioned remote; no metafile is needed.

        Args:
            files: what each path, relative to the project, must be, and the
                remote's id of that version.
            remote: name of the remote.

        Raises:
            DvcError: the remote does not have one of them.
        """
        try:
            source = self._repo.cloud.get_remote(remote, "pull")
            places = {
                obj.value: source.fs.version_path(source.fs.join(source.path, path), version)
                for path, (obj, version) in files.items()
            }
        except Exception as err:  # each kind of remote has its own errors
            raise DvcError(describe_error(err)) from err
        objs = [obj for obj, _ in files.values()]
        failed = download(_Versioned(source.fs, places), objs, self._cache, None, Progress())
        for obj, why in failed.items():
            raise DvcError(f"{obj.value}: {why}")

    def read_listing(self, path: str, commit: str | None = None) -> bytes | None:
        """A folder's listing as its metafile has it, for one in a cloud-versioned remote.

        Args:
            path: the out, relative to the project.
            commit: whose metafile to go by; None for the workspace's.

        Raises:
            DvcError: the metafile cannot be read.
        """
        with self.open_out(path, commit) as out, silence_logs(), translate_errors():
            data: bytes | None = out.get_obj().as_bytes() if out is not None and out.files else None
        return data

    @contextlib.contextmanager
    def open_out(self, path: str, commit: str | None) -> Iterator[Any]:
        """DVC's own view of an out; None if the metafiles have none."""
        place = self._place(path, commit)
        revs = [commit] if commit else None
        with silence_logs(), translate_errors():
            for rev in self._repo.brancher(revs=revs, workspace=commit is None):
                # DVC may offer the workspace as well: that is not what was asked for.
                if commit is None or rev != "workspace":
                    outs = self._repo.index.outs
                    yield next((out for out in outs if out.fs_path == place), None)
                    return
        yield None

    def _place(self, path: str, commit: str | None) -> str:
        """An out's absolute path, on the disk or in a commit."""
        full = os.path.join(self._repo.root_dir, path)
        if commit is None:
            return full
        return "/" + os.path.relpath(full, self._repo.scm.root_dir).replace(os.sep, "/")


class _Versioned(NamedTuple):
    """Versions of files in a remote.

    Attributes:
        fs: the remote's file system.
        places: where each hash is.
    """

    fs: Any
    places: Mapping[str, str]

    def oid_to_path(self, value: str) -> str:
        return self.places[value]
