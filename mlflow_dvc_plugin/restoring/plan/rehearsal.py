"""Trying metafiles out before they are written: what would DVC read in them?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping

from mlflow_dvc_plugin.capturing.memory.watch import Watch
from mlflow_dvc_plugin.capturing.metafiles import read_metafiles
from mlflow_dvc_plugin.capturing.reading import read_project
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.restoring.files import paths
from mlflow_dvc_plugin.state import Entry

# Hash name and hash by path.
Said = dict[str, tuple[str, str | None]]

_ROUNDS = 20


class Rehearsal:
    """Reads a project as it would be with other metafiles, in a scratch folder.

    Args:
        project: absolute path of the project.
        metafiles: the bytes of those that it has today.
    """

    def __init__(self, project: str, metafiles: Mapping[str, bytes]) -> None:
        self._project = project
        self._metafiles = metafiles
        self._depth = project.count(os.sep)

    def said(self, proposal: Mapping[str, bytes | None]) -> Said | None:
        """What the project's metafiles would say with a proposal, as DVC reads them.

        Args:
            proposal: bytes of metafiles; None for one that is gone.

        Returns:
            Hash name and hash of each out; None if DVC would refuse them.

        Raises:
            UnsafePathError: one of them is where a restore never writes.
        """
        for path in proposal:
            paths.check(path)
            paths.Guard(self._project).check(path)
        with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as scratch:
            # As deep as the project: what that takes from above it has its place here, too.
            folder = os.path.join(scratch, *(["_"] * self._depth))
            try:
                os.makedirs(os.path.join(folder, ".dvc"))
                for path, data in {**self._metafiles, **proposal}.items():
                    if data is not None:
                        _write(os.path.join(folder, path), data)
                entries = self._read(os.path.realpath(folder), proposal)
            except (CaptureError, OSError, UnicodeError):
                return None
        said = {e.path: (e.hash_name, e.hash) for e in entries}
        return said if len(said) == len(entries) else None

    def _read(self, folder: str, proposal: Mapping[str, bytes | None]) -> list[Entry]:
        """The outs; what else of the project the reading asks for is brought, and read again."""
        reading = read_project(self._project)
        gone = {path for path, data in proposal.items() if data is None}
        needed = _names(reading.watch.files, self._project) - gone
        for _ in range(_ROUNDS):
            self._bring(folder, needed)
            watch = Watch(folder)
            failure: CaptureError | None = None
            entries: list[Entry] = []
            try:
                contents = read_metafiles(folder, None, reading.config, watch)
                entries = [out.entry for stage in contents.stages for out in stage.outs]
            except CaptureError as err:
                failure = err
            needed = _names(watch.files, folder) - gone
            needed |= {f"{above}.dvcignore" for e in entries for above in _above(e.path)}
            needed = {name for name in needed if self._lacks(folder, name)}
            if not needed:
                if failure is not None:
                    raise failure
                return entries
        raise CaptureError("dvc.yaml", "it takes its variables from too many files")

    def _lacks(self, folder: str, name: str) -> bool:
        # What is in `.dvc` is no part of what metafiles say.
        return (
            not name.startswith(".dvc/")
            and name.count("../") <= self._depth
            and not os.path.lexists(os.path.normpath(os.path.join(folder, name)))
            and os.path.isfile(os.path.normpath(os.path.join(self._project, name)))
        )

    def _bring(self, folder: str, names: Iterable[str]) -> None:
        for name in names:
            if self._lacks(folder, name):
                target = os.path.normpath(os.path.join(folder, name))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                # Read in place: a file of variables may be large.
                os.symlink(os.path.join(self._project, name), target)


def _names(files: Iterable[str], folder: str) -> set[str]:
    """Those files that are named by way of a folder, relative to it; some may be above it."""
    prefix = folder.rstrip(os.sep) + os.sep
    return {os.path.normpath(path[len(prefix) :]) for path in files if path.startswith(prefix)}


def _above(path: str) -> Iterable[str]:
    """The folders above a path, each with a slash at its end; the project's is empty."""
    parts = path.split("/")
    return ("/".join([*parts[:depth], ""]) for depth in range(len(parts)))


def _write(target: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(data)
