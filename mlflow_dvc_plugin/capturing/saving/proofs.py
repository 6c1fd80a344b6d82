"""Proofs of what files hold, kept below ``.dvc/tmp`` for the next process.

A file that has the inode, size, modification and change time of a proof was not
written to since it was read. No proof is kept of a file that changed just before
it was read, because timestamps are coarse.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from mlflow_dvc_plugin.capturing.memory import saved_results
from mlflow_dvc_plugin.capturing.memory.watch import SETTLED_NS
from mlflow_dvc_plugin.capturing.workspace.checks import FileCheck
from mlflow_dvc_plugin.named_tuple import NamedTuple

# inode, size, and the times of modification and change in nanoseconds
_Stamp = tuple[int, int, int, int]


class _Proof(NamedTuple):
    stamp: _Stamp
    value: str


class Proofs:
    """The proofs of the files in a folder, by path in it, or of the single files of a project."""

    def __init__(self, project: str, folder: str) -> None:
        name = folder.encode("utf-8", "surrogateescape")
        self._path = saved_results.result_path(project, "saved files", name)
        self._proofs = _load(self._path)

    def apply(self, files: Mapping[str, FileCheck]) -> list[FileCheck]:
        """Tell the checks of files what is proven, and return the others."""
        for name in self._proofs.keys() & files.keys():
            proof = self._proofs[name]
            if proof.stamp == to_stamp(files[name].info):
                files[name].found = proof.value
        return [file for file in files.values() if file.found is None]

    def save(self, files: Mapping[str, FileCheck], looked_ns: int) -> None:
        """Keep proofs of files whose stats were taken after `looked_ns`; others are dropped."""
        kept = {
            name: _Proof(to_stamp(file.info), file.found)
            for name, file in files.items()
            if file.found is not None
            and looked_ns - max(file.info.st_mtime_ns, file.info.st_ctime_ns) > SETTLED_NS
        }
        if kept != self._proofs:
            self._proofs = kept
            columns = [list(kept), *([proof[i] for proof in kept.values()] for i in (0, 1))]
            saved_results.save_result(self._path, columns)


def to_stamp(info: os.stat_result) -> _Stamp:
    """What changes whenever a file is written to."""
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _load(path: str) -> dict[str, _Proof]:
    try:
        names, stamps, values = saved_results.load_result(path)
        return {
            name: _Proof((ino, size, mtime, ctime), value)
            for name, (ino, size, mtime, ctime), value in zip(names, stamps, values, strict=True)
        }
    except (TypeError, ValueError):
        return {}
