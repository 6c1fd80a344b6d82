"""The files that are Git's: what a restore writes of them, and what it may replace."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

from mlflow_dvc_plugin.errors import GitError, UnsavedContentError
from mlflow_dvc_plugin.git import find_git, find_ignored, is_in_commit, read_blob, resolve_commit
from mlflow_dvc_plugin.restoring.files import paths
from mlflow_dvc_plugin.restoring.undo.journal import Journal, digest
from mlflow_dvc_plugin.state import DataState, Entry


def at_head(project: str, now: DataState, path: str, data: bytes) -> bool:
    """HEAD has a file just so: replacing it loses nothing.

    Args:
        project: absolute path of the project.
        now: what the project's metafiles say today.
        path: of the file, relative to the project.
        data: what the file holds.
    """
    return now.git_commit is not None and is_in_commit(project, now.git_commit, path, data)


def uncached(
    project: str, state: DataState, now: DataState, entries: Iterable[Entry], force: bool
) -> tuple[dict[str, bytes | None], list[str]]:
    """What Git has of the outs that DVC does not cache.

    Only paths that today's ``dvc.yaml`` itself leaves to Git are written: tags
    could name any other.

    Args:
        project: absolute path of the project.
        state: what the run recorded.
        now: what the project's metafiles say today.
        entries: those outs.
        force: replace what people wrote and Git does not have.

    Returns:
        The bytes to write, by path; and, for the others, why they are left.

    Raises:
        UnsavedContentError: one has content that nothing else has.
    """
    declared = {e.path: e for e in now.entries if not e.cached}
    found: dict[str, bytes | None] = {}
    left, unsaved = [], []
    for e in entries:
        paths.check(e.path)
        paths.Guard(project).check(e.path)
        full = os.path.join(project, e.path)
        known = declared.get(e.path)
        today = bytes_of(full)
        if today is not None and _is(today, e):
            continue
        data = read_blob(project, str(state.git_commit), e.path)
        if known is None:
            left.append(f"{e.path}: today's dvc.yaml does not make it")
        elif e.isdir or os.path.isdir(full) or os.path.islink(full):
            left.append(f"{e.path}: Git has it, not DVC")
        elif data is None or not _is(data, e):
            left.append(f"{e.path}: not cached by DVC, and the run's commit has another one")
        else:
            found[e.path] = data
            kept = today is None or _is(today, known) or at_head(project, now, e.path, today)
            unsaved += [] if kept else [e.path]
    if unsaved and not force:
        raise UnsavedContentError(sorted(unsaved))
    return found, left


def ignores(
    project: str, now: DataState, entries: Sequence[Entry], metafiles: Mapping[str, bytes | None]
) -> dict[str, bytes | None]:
    """The ``.gitignore`` files, as ``dvc remove`` and ``dvc add`` would write them.

    Those that keep new outs out of Git get a line for each, and those of outs
    that are no more lose theirs. One that is left in what becomes a tracked
    folder goes, if HEAD has it: DVC would take it for data.

    Args:
        project: absolute path of the project.
        now: what the project's metafiles say today.
        entries: the outs that are restored; those that DVC has made here
            already are as the user wants them.
        metafiles: bytes of the metafiles to write; None for one that goes.
    """
    known = {e.path for e in now.entries if e.hash}
    new = [e for e in entries if e.path not in known]
    found: dict[str, bytes | None] = {}
    if find_git(project) is None:
        return found
    for path, line in dropped(now, metafiles):
        lines = (bytes_of(os.path.join(project, path)) if path not in found else found[path]) or b""
        kept = [each for each in lines.splitlines(True) if each.rstrip() != os.fsencode(line)]
        found[path] = b"".join(kept) or None
    for folder in [e.path for e in new if e.isdir]:
        for path in _gitignores_in(project, folder):
            data = bytes_of(os.path.join(project, path))
            if data is not None and at_head(project, now, path, data):
                found[path] = None
    names = {e.path for e in new}
    for out in sorted(names - find_ignored(project, sorted(names), dropped(now, metafiles))):
        path, line = _ignoring(out)
        today = (bytes_of(os.path.join(project, path)) if path not in found else found[path]) or b""
        gap = b"" if not today or today.endswith(b"\n") else b"\n"
        found[path] = today + gap + os.fsencode(line) + b"\n"
    return found


def edited(project: str, last: Journal) -> list[str]:
    """Files that people write, and wrote to since a restore did, with what Git does not have.

    Args:
        project: absolute path of the project.
        last: what the restore replaced, and by what.
    """
    found = []
    for path, old in last.metafiles.items():
        today = bytes_of(os.path.join(project, path))
        by_hand = not path.endswith(".dvc") and posixpath.basename(path) != "dvc.lock"
        ours = today in (None, old) or digest(today) == last.wrote.get(path)
        if by_hand and today is not None and not ours:
            found += [] if _is_in_head(project, path, today) else [path]
    return sorted(found)


def _is_in_head(project: str, path: str, data: bytes) -> bool:
    try:
        return is_in_commit(project, resolve_commit(project, "HEAD"), path, data)
    except GitError:
        return False


def dropped(now: DataState, metafiles: Mapping[str, bytes | None]) -> set[tuple[str, str]]:
    """The ``.gitignore`` files and lines of the outs of ``.dvc`` files that go.

    Args:
        now: what the project's metafiles say today.
        metafiles: bytes of the metafiles to write; None for one that goes.
    """
    gone = {path for path, data in metafiles.items() if data is None and path.endswith(".dvc")}
    return {_ignoring(e.path) for e in now.entries if e.metafile in gone}


def _ignoring(out: str) -> tuple[str, str]:
    """The ``.gitignore`` file and the line in it that keep an out from Git."""
    folder, _, name = out.rpartition("/")
    line = "/" + re.sub(r"([\[\]*?!#\\])", r"\\\1", name)
    return posixpath.join(folder, ".gitignore"), line


def _gitignores_in(project: str, folder: str) -> Iterable[str]:
    for above, _, names in os.walk(os.path.join(project, folder)):
        if ".gitignore" in names:
            full = os.path.join(above, ".gitignore")
            yield os.path.relpath(full, project).replace(os.sep, "/")


def bytes_of(path: str) -> bytes | None:
    """What a file holds; None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _is(data: bytes, e: Entry) -> bool:
    """These bytes are what the out's hash says."""
    if e.hash_name == "md5-dos2unix" and b"\0" not in data:
        data = data.replace(b"\r\n", b"\n")
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == e.hash
