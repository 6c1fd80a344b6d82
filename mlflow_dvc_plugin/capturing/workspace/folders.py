"""The files in a tracked folder that DVC would hash."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from mlflow_dvc_plugin.capturing.ignore.dvcignore import DvcIgnore
from mlflow_dvc_plugin.errors import CaptureError

_CHECK_EVERY = 500


def list_folder(project: str, path: str, deadline: float) -> dict[str, os.stat_result] | None:
    """The stat of each file in a folder, by POSIX path relative to it.

    ``.dvcignore`` applies, and links to folders are not followed. None if the folder
    cannot be listed completely by the deadline (of :func:`time.monotonic`).

    Args:
        project: absolute path of the project.
        path: of the folder, relative to the project.
        deadline: when to give up.
    """
    found: dict[str, os.stat_result] = {}
    countdown = _CHECK_EVERY
    try:
        for name, info in walk_folder(project, path):
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


def walk_folder(project: str, path: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Walk the files in a folder: POSIX path relative to it, and stat.

    ``.dvcignore`` applies, and links to folders are not followed. The stat of a link
    is that of its target, which DVC hashes; None for a broken link.

    Args:
        project: absolute path of the project.
        path: of the folder, relative to the project.

    Raises:
        OSError: a folder or file cannot be read.
        CaptureError: a ``.dvcignore`` cannot be read.
    """
    pending = [("", os.path.join(project, path), _read_rules_above(project, path))]
    while pending:
        base, folder, rules = pending.pop()
        with os.scandir(folder) as entries:
            listed = list(entries)
        if any(item.name == ".dvcignore" for item in listed):
            rules = rules.add_file(project, f"{path}/{base}".rstrip("/"))
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
    by_folder: dict[str, DvcIgnore | None] = {"": DvcIgnore().add_file(project, "")}

    def read_rules(folder: str) -> DvcIgnore | None:
        """The patterns in a folder; None if the folder itself is ignored."""
        if folder not in by_folder:
            above, _, name = folder.rpartition("/")
            rules = read_rules(above)
            if rules is None or rules.ignores(folder, name, True):
                by_folder[folder] = None
            else:
                by_folder[folder] = rules.add_file(project, folder)
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
        rules = rules.add_file(project, "/".join(parts[:depth]))
    return rules
