"""Plan the ``.gitignore`` files, as ``dvc add`` and ``dvc remove`` write them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Sequence

from mlflow_dvc_plugin.git import find_git, find_ignored
from mlflow_dvc_plugin.restoring.files.contents import Contents, read_file
from mlflow_dvc_plugin.restoring.metafiles.git_outs import is_in_head
from mlflow_dvc_plugin.state import DataState, Entry


def plan_gitignores(
    project: str, workspace: DataState, entries: Sequence[Entry], metafiles: Contents
) -> dict[str, bytes | None]:
    """Plan the ``.gitignore`` files that change with the outs that DVC tracks.

    A new out gets a line, and the line of an out that is no longer tracked is
    removed. A ``.gitignore`` inside a new tracked folder is deleted if HEAD has
    it, because DVC would take it for data.
    """
    if find_git(project) is None:
        return {}
    contents: dict[str, bytes | None] = {}

    def read(path: str) -> bytes:
        data = contents[path] if path in contents else read_file(os.path.join(project, path))
        return data or b""

    present = {e.path for e in workspace.entries if e.hash}
    new = [e for e in entries if e.path not in present]
    removed = find_removed_lines(workspace, metafiles)
    for path, line in removed:
        lines = [x for x in read(path).splitlines(True) if x.rstrip() != os.fsencode(line)]
        contents[path] = b"".join(lines) or None
    for e in new:
        for path in _find_gitignores(project, e.path) if e.isdir else ():
            data = read_file(os.path.join(project, path))
            if data is not None and is_in_head(project, workspace, path, data):
                contents[path] = None
    paths = sorted(e.path for e in new)
    for out in sorted({*paths} - find_ignored(project, paths, removed)):
        path, line = _to_line(out)
        data = read(path)
        gap = b"" if not data or data.endswith(b"\n") else b"\n"
        contents[path] = data + gap + os.fsencode(line) + b"\n"
    return contents


def find_removed_lines(workspace: DataState, metafiles: Contents) -> set[tuple[str, str]]:
    """Find the ``.gitignore`` files and lines of outs whose ``.dvc`` files are deleted."""
    deleted = {path for path, data in metafiles.items() if data is None and path.endswith(".dvc")}
    return {_to_line(e.path) for e in workspace.entries if e.metafile in deleted}


def _to_line(out: str) -> tuple[str, str]:
    """Make the path of the ``.gitignore`` and its line that hide an out from Git."""
    folder, _, name = out.rpartition("/")
    line = "/" + re.sub(r"([\[\]*?!#\\])", r"\\\1", name)
    return posixpath.join(folder, ".gitignore"), line


def _find_gitignores(project: str, folder: str) -> Iterable[str]:
    for parent, _, names in os.walk(os.path.join(project, folder)):
        if ".gitignore" in names:
            full = os.path.join(parent, ".gitignore")
            yield os.path.relpath(full, project).replace(os.sep, "/")
