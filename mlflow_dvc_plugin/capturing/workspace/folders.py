"""The files in a tracked folder that DVC would hash."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from mlflow_dvc_plugin.capturing.files import read_file
from mlflow_dvc_plugin.capturing.ignore.dvcignore import DvcIgnore
from mlflow_dvc_plugin.errors import CaptureError

_CHECK_EVERY = 500


def list_folder(
    project: str, path: str, full: str, deadline: float
) -> dict[str, os.stat_result] | None:
    """The stat of each file in a folder, by POSIX path relative to it.

    ``.dvcignore`` applies, and links to folders are not followed. None if the folder
    cannot be listed completely by the deadline (of :func:`time.monotonic`).

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
    """Walk the files in a folder: POSIX path relative to it, and stat.

    ``.dvcignore`` applies, and links to folders are not followed. The stat of a link
    is that of its target, which DVC hashes; None for a broken link.

    Args:
        project: absolute path of the project.
        path: of the folder, relative to the project.
        full: of the folder, absolute.

    Raises:
        OSError: a folder or file cannot be read.
        CaptureError: a ``.dvcignore`` cannot be read.
    """
    pending = [("", full, _read_rules_above(project, path))]
    while pending:
        base, folder, rules = pending.pop()
        with os.scandir(folder) as entries:
            listed = list(entries)
        if any(item.name == ".dvcignore" for item in listed):
            rules = _add_dvcignore(rules, folder, f"{path}/{base}".rstrip("/"))
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


def find_dvcignored(project: str, paths: Iterable[str]) -> Iterator[str]:
    """Find those of some files that ``.dvcignore`` hides from DVC, whether they exist or not.

    Args:
        project: absolute path of the project.
        paths: of the files, relative to the project.

    Raises:
        CaptureError: a ``.dvcignore`` cannot be read.
    """
    by_folder: dict[str, DvcIgnore | None] = {"": _add_dvcignore(DvcIgnore(), project, "")}

    def read_rules(folder: str) -> DvcIgnore | None:
        """The patterns in a folder; None if the folder itself is ignored."""
        if folder not in by_folder:
            above, _, name = folder.rpartition("/")
            rules = read_rules(above)
            if rules is None or rules.ignores(folder, name, True):
                by_folder[folder] = None
            else:
                by_folder[folder] = _add_dvcignore(rules, os.path.join(project, folder), folder)
        return by_folder[folder]

    for path in paths:
        folder, _, name = path.rpartition("/")
        rules = read_rules(folder)
        if rules is None or (rules.patterns and rules.ignores(path, name, False)):
            yield path


def _read_rules_above(project: str, path: str) -> DvcIgnore:
    """The ``.dvcignore`` patterns that apply in the folder above `path`."""
    rules = DvcIgnore()
    parts = path.split("/")
    for depth in range(len(parts)):
        folder = "/".join(parts[:depth])
        rules = _add_dvcignore(rules, os.path.join(project, *parts[:depth]), folder)
    return rules


def _add_dvcignore(rules: DvcIgnore, full: str, folder: str) -> DvcIgnore:
    path = os.path.join(full, ".dvcignore")
    if not os.path.lexists(path):
        return rules
    name = f"{folder}/.dvcignore" if folder else ".dvcignore"
    return rules.add_patterns(folder, read_file(path, name))
