"""The files of a tracked folder, as DVC would hash them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from mlflow_dvc_plugin.capturing import files
from mlflow_dvc_plugin.capturing.ignore.dvcignore import DvcIgnore
from mlflow_dvc_plugin.errors import CaptureError

_CHECK_EVERY = 500


def list_folder(
    project: str, path: str, full: str, deadline: float
) -> dict[str, os.stat_result] | None:
    """The stat of each file in a folder, by POSIX path relative to it.

    ``.dvcignore`` holds; links to folders are not followed. None if it cannot be
    listed whole by the deadline (on the clock of :func:`time.monotonic`).

    Args:
        project: absolute path of the project.
        path: of the folder, relative to the project.
        full: of the folder, absolute.
        deadline: when to give up.
    """
    found: dict[str, os.stat_result] = {}
    countdown = _CHECK_EVERY
    try:
        for name, info in walk_folder(project, path, full):
            if info is None:
                return None
            found[name] = info
            countdown -= 1
            if not countdown:
                if time.monotonic() >= deadline:
                    return None
                countdown = _CHECK_EVERY
    except (OSError, CaptureError):
        return None
    return found


def walk_folder(project: str, path: str, full: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Each file in a folder, as POSIX path relative to it, with its stat.

    ``.dvcignore`` holds; links to folders are not followed. A link's stat is that
    of its target, since that is what DVC hashes; None if it leads nowhere.

    Args:
        project: absolute path of the project.
        path: of the folder, relative to the project.
        full: of the folder, absolute.

    Raises:
        OSError: a folder or file cannot be read.
        CaptureError: a ``.dvcignore`` cannot be read.
    """
    pending = [("", full, _rules_above(project, path))]
    while pending:
        base, folder, rules = pending.pop()
        with os.scandir(folder) as entries:
            listed = list(entries)
        if any(item.name == ".dvcignore" for item in listed):
            rules = _with_file(rules, folder, f"{path}/{base}".rstrip("/"))
        for item in listed:
            name = item.name
            is_dir = item.is_dir()
            if rules.ignores(f"{path}/{base}{name}", name, is_dir):
                continue
            if is_dir:
                if not item.is_symlink():
                    pending.append((f"{base}{name}/", item.path, rules))
                continue
            try:
                info = item.stat()
            except FileNotFoundError:
                if not item.is_symlink():
                    raise
                yield base + name, None
            else:
                yield base + name, info


def left_out(project: str, paths: Iterable[str]) -> Iterator[str]:
    """Those of some files that DVC would not see, whether they are there or not.

    Args:
        project: absolute path of the project.
        paths: of the files, relative to the project.

    Raises:
        CaptureError: a ``.dvcignore`` cannot be read.
    """
    known: dict[str, DvcIgnore | None] = {"": _with_file(DvcIgnore(), project, "")}

    def rules_in(folder: str) -> DvcIgnore | None:
        if folder not in known:
            above, _, name = folder.rpartition("/")
            rules = rules_in(above)
            if rules is None or rules.ignores(folder, name, True):
                known[folder] = None
            else:
                known[folder] = _with_file(rules, os.path.join(project, folder), folder)
        return known[folder]

    for path in paths:
        folder, _, name = path.rpartition("/")
        rules = known[folder] if folder in known else rules_in(folder)
        if rules is None or (rules.patterns and rules.ignores(path, name, False)):
            yield path


def _rules_above(project: str, path: str) -> DvcIgnore:
    """The ``.dvcignore`` patterns that hold for what is in the folder above `path`."""
    rules = DvcIgnore()
    parts = path.split("/")
    for depth in range(len(parts)):
        folder = "/".join(parts[:depth])
        rules = _with_file(rules, os.path.join(project, *parts[:depth]), folder)
    return rules


def _with_file(rules: DvcIgnore, full: str, folder: str) -> DvcIgnore:
    path = os.path.join(full, ".dvcignore")
    if not os.path.lexists(path):
        return rules
    name = f"{folder}/.dvcignore" if folder else ".dvcignore"
    return rules.within(folder, files.read(path, name))
