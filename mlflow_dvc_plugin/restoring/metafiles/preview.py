"""Preview metafiles before they are written: which outs would DVC read from them?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping

from mlflow_dvc_plugin.capturing.memory.watch import Watch
from mlflow_dvc_plugin.capturing.metafiles import read_metafiles
from mlflow_dvc_plugin.capturing.reading import read_project
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.restoring.files.contents import Contents
from mlflow_dvc_plugin.restoring.files.paths import FolderGuard, check_path
from mlflow_dvc_plugin.state import Entry

# Hash name and hash of each out by its path.
OutHashes = dict[str, tuple[str, str | None]]

_MAX_ROUNDS = 20


class Preview:
    """Reads a project as it would be with other metafiles, in a temporary folder."""

    def __init__(self, project: str, metafiles: Mapping[str, bytes]) -> None:
        self._project = project
        self._metafiles = metafiles
        self._depth = project.count(os.sep)

    def read_outs(self, changes: Contents) -> OutHashes | None:
        """Read the outs that changed metafiles would give; None if DVC would refuse them."""
        guard = FolderGuard(self._project)
        for path in changes:
            check_path(path)
            guard.check(path)
        with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as scratch:
            # As deep as the project, so that paths that lead above it work here, too.
            folder = os.path.join(scratch, *(["_"] * self._depth))
            try:
                os.makedirs(os.path.join(folder, ".dvc"))
                for path, data in {**self._metafiles, **changes}.items():
                    if data is not None:
                        target = os.path.join(folder, path)
                        os.makedirs(os.path.dirname(target), exist_ok=True)
                        with open(target, "wb") as file:
                            file.write(data)
                entries = self._read(os.path.realpath(folder), changes)
            except (CaptureError, OSError, UnicodeError):
                return None
        outs = {e.path: (e.hash_name, e.hash) for e in entries}
        return outs if len(outs) == len(entries) else None

    def _read(self, folder: str, changes: Contents) -> list[Entry]:
        """Read the outs, again and again until every file that the reading needs is there."""
        reading = read_project(self._project)
        deleted = {path for path, data in changes.items() if data is None}
        needed = _to_relative(reading.watch.files, self._project) - deleted
        needed = {name for name in needed if self._is_missing(folder, name)}
        for _ in range(_MAX_ROUNDS):
            for name in needed:
                target = os.path.normpath(os.path.join(folder, name))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                # A link and no copy: a file of variables may be large.
                os.symlink(os.path.join(self._project, name), target)
            watch = Watch(folder)
            error: CaptureError | None = None
            entries: list[Entry] = []
            try:
                contents = read_metafiles(folder, None, reading.config, watch)
                entries = [out.entry for stage in contents.stages for out in stage.outs]
            except CaptureError as err:
                error = err
            needed = _to_relative(watch.files, folder) - deleted
            needed |= {f"{parent}.dvcignore" for e in entries for parent in _list_parents(e.path)}
            needed = {name for name in needed if self._is_missing(folder, name)}
            if not needed:
                if error is not None:
                    raise error
                return entries
        raise CaptureError("dvc.yaml", "it takes its variables from too many files")

    def _is_missing(self, folder: str, name: str) -> bool:
        # Files in `.dvc` have no part in what metafiles say.
        return (
            not name.startswith(".dvc/")
            and name.count("../") <= self._depth
            and not os.path.lexists(os.path.normpath(os.path.join(folder, name)))
            and os.path.isfile(os.path.normpath(os.path.join(self._project, name)))
        )


def _to_relative(files: Iterable[str], folder: str) -> set[str]:
    """Make paths that begin with a folder relative to it; some may lead above it."""
    prefix = folder.rstrip(os.sep) + os.sep
    return {os.path.normpath(path[len(prefix) :]) for path in files if path.startswith(prefix)}


def _list_parents(path: str) -> Iterable[str]:
    """List the folders above a path, each with a final slash; the project's own is empty."""
    parts = path.split("/")
    return ("/".join([*parts[:depth], ""]) for depth in range(len(parts)))
