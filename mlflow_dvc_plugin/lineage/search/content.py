"""Files and folders of the disk, tracked or not, hashed as DVC would hash them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import LineageError
from mlflow_dvc_plugin.lineage.observation import hash_files
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.objects import build_listing

# What DVC leaves out of every folder of a project.
_NEVER_DATA = {".git", ".hg", ".dvc"}


def hash_paths(paths: Sequence[str], progress: Progress) -> dict[str, str]:
    """The MD5 of each file or folder, as DVC writes it: a folder's ends in ``.dir``.

    ``.dvcignore`` applies in a project.

    Raises:
        LineageError: one of them does not exist, or cannot be hashed.
        DvcError: one of them cannot be read.
    """
    root = find_project()
    with closing(DvcProject(root)) if root else nullcontext() as dvc:
        return {path: _hash_path(dvc, path, progress) for path in paths}


def _hash_path(dvc: DvcProject | None, path: str, progress: Progress) -> str:
    top = os.path.abspath(path)
    try:
        info = os.stat(top)
    except FileNotFoundError as err:
        raise LineageError(
            f"There is no {path}. Name its hash with --hash; `mlflow-dvc log {path}` shows the "
            "hashes that runs had at that path."
        ) from err
    if stat.S_ISREG(info.st_mode):
        return hash_files(dvc, {top: info}, {}, progress)[top]
    if not stat.S_ISDIR(info.st_mode):
        raise LineageError(f"{path} is neither a file nor a folder, so it has no hash.")
    is_inside = dvc is not None and os.path.commonpath([dvc.root, top]) == dvc.root
    listed = dvc.list_files(top) if dvc and is_inside else _list_files(top)
    try:
        files = {file: os.stat(file) for file in listed}
    except OSError as err:
        raise LineageError(f"{err.filename} cannot be read: {err.strerror}.") from err
    hashes = hash_files(dvc, files, {}, progress)
    members = {os.path.relpath(file, top).replace(os.sep, "/"): hashes[file] for file in files}
    return build_listing(members)[0].value


def _list_files(folder: str) -> Iterator[str]:
    for above, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NEVER_DATA]
        yield from (os.path.join(above, name) for name in files if name not in _NEVER_DATA)
