"""The files in a tracked folder that DVC would hash."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from mlflow_dvc_plugin.capturing.ignore.dvcignore import DvcIgnore, DvcIgnoreTree
from mlflow_dvc_plugin.errors import CaptureError

_CHECK_EVERY = 500


def list_folder(project: str, path: str, deadline: float) -> dict[str, os.stat_result] | None:
    """The files that :func:`walk_folder` finds in a folder of the project.

    None if one of them cannot be read, or if the deadline (of :func:`time.monotonic`)
    comes first.
    """
    found: dict[str, os.stat_result] = {}
    try:
        for name, info in walk_folder(project, path):
            if info is None:
                return None
            found[name] = info
            if not len(found) % _CHECK_EVERY and time.monotonic() >= deadline:
                return None
    except (OSError, CaptureError):
        return None
    return found


def walk_folder(project: str, path: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Walk the files in a folder of the project: POSIX path relative to it, and stat.

    ``.dvcignore`` applies, and links to folders are not followed. The stat of a link
    is that of its target, which DVC hashes; None for a broken link. An OSError or
    CaptureError leaves it if something cannot be read.
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
    """Find those of some files in the project, present or not, that ``.dvcignore`` hides."""
    tree = DvcIgnoreTree(lambda rules, folder: rules.add_file(project, folder))
    for path in paths:
        folder, _, name = path.rpartition("/")
        rules = tree.find_rules(folder)
        if rules is None or (rules.patterns and rules.ignores(path, name, False)):
            yield path


def _read_rules_above(project: str, path: str) -> DvcIgnore:
    """The ``.dvcignore`` patterns that apply in the folder above `path`."""
    rules = DvcIgnore()
    parts = path.split("/")
    for depth in range(len(parts)):
        rules = rules.add_file(project, "/".join(parts[:depth]))
    return rules
