"""Where the paths in metafiles lead."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence

from mlflow_dvc_plugin.capturing.dvc_config import Config, find_remote_url
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.named_tuple import NamedTuple

# The hash that DVC uses on each file system; other schemes are local paths to DVC.
_HASH_NAMES = {
    "azure": "etag", "gdrive": "checksum", "gs": "etag", "hdfs": "checksum", "http": "checksum",
    "https": "checksum", "oss": "etag", "s3": "etag", "ssh": "md5", "webdav": "etag",
    "webdavs": "etag", "webhdfs": "checksum", "memory": "md5",
}  # fmt: skip

_DVC_FILES = (".dvc", "dvc.yaml")
# A dep that starts like this is an entry of `datasets:`, and not a path.
_DATASET = "ds://"
# Creates a named tuple in half the time: there can be ten thousand.
_new = tuple.__new__


class Place(NamedTuple):
    """Where an out or dep is."""

    path: str  # absolute, or a URL
    key: str  # the path that `dvc.lock` has for it
    inside: str | None  # relative to the project; None outside it
    hash_name: str  # the hash that its file system has


class WorkingDir:
    """The folder that paths in a metafile are relative to; its `path` is absolute and normal."""

    def __init__(self, project: str, config: Config, metafile: str, path: str) -> None:
        self.path = path
        self._metafile = metafile
        self._config = config
        self._project = project.rstrip(os.sep) + os.sep
        self._start = f"{self.path}/"
        # Where deps lead: many stages can have the same deps, and some are needed twice.
        self._deps: dict[str, str] = {}
        # What simple paths start with, relative to the project; None outside it.
        self._inside: str | None = None
        if os.sep == "/" and self._start.startswith(self._project):
            self._inside = self._start[len(self._project) :]

    @classmethod
    def of_stage(
        cls, project: str, config: Config, metafile: str, wdir: str | None = None
    ) -> WorkingDir:
        """The folder of a stage: the ``wdir`` that it defines, or its metafile's own."""
        parent = os.path.dirname(os.path.join(project, metafile))
        path = os.path.normpath(os.path.join(parent, wdir) if wdir else parent)
        return cls(project, config, metafile, path)

    def locate(self, path: str) -> Place:
        """Find where `path` leads, or raise a CaptureError if DVC refuses it."""
        inside = self._inside
        # A simple path needs no normalization, and most paths are simple.
        if (
            inside is not None
            and path
            and path[0] != "/"
            and path[-1] not in "/."
            and "./" not in path
            and "//" not in path
            and ":" not in path
            and "\0" not in path
            and not path.endswith(_DVC_FILES)
        ):
            return _new(Place, (self._start + path, path, inside + path, "md5"))
        if path.endswith(".dvc") or posixpath.basename(path) == "dvc.yaml":
            raise CaptureError(self._metafile, f"DVC does not accept {path!r} as an out or dep")
        if "\0" in path:
            raise CaptureError(self._metafile, "a path contains a NUL character")
        scheme = self._find_scheme(path)
        if scheme == "remote":
            return self._locate_in_remote(path)
        if scheme in _HASH_NAMES:
            return Place(path, path, None, _HASH_NAMES[scheme])
        full = os.path.normpath(os.path.join(self.path, path))
        key = path
        if os.path.isabs(path) and full.startswith(self._project):
            key = os.path.relpath(full, self.path)
        inside = None
        if full.startswith(self._project) and not os.path.isabs(key):
            inside = full[len(self._project) :].replace(os.sep, "/")
        return Place(full, key, inside, "md5")

    def locate_deps(self, paths: Sequence[str]) -> list[str]:
        """The absolute paths, or URLs, of some deps."""
        found = self._deps
        for path in paths:
            if path not in found and not path.startswith(_DATASET):
                found[path] = self.locate(path).path
        return [found[path] for path in paths if path in found]

    def check_deps(self, paths: Iterable[str]) -> None:
        """Raise what :meth:`locate_deps` would raise, at a lower cost."""
        for path in paths:
            is_odd = path.endswith(_DVC_FILES) or ":" in path or "\0" in path
            if is_odd and not path.startswith(_DATASET):
                self.locate(path)

    def _locate_in_remote(self, path: str) -> Place:
        name, _, rest = path[len("remote://") :].partition("/")
        url = find_remote_url(self._config, name)
        if url is None:
            raise CaptureError(
                self._metafile, f"the remote {name!r} of the path {path!r} is not configured"
            )
        hash_name = _HASH_NAMES.get(self._find_scheme(url), "md5")
        return Place(f"{url.rstrip('/')}/{rest}", path, None, hash_name)

    def _find_scheme(self, path: str) -> str:
        if ":" not in path:
            return ""
        from urllib.parse import urlsplit

        try:
            return urlsplit(path).scheme
        except ValueError as err:
            raise CaptureError(self._metafile, f"{path!r} is not a valid URL") from err
