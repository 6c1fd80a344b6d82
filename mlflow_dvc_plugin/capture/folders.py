"""The files of a tracked folder, as DVC would hash them."""

from __future__ import annotations

import os
import time

from mlflow_dvc_plugin.capture import files
from mlflow_dvc_plugin.capture.dvcignore import DvcIgnore
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
    try:
        return _listed(path, full, _rules_above(project, path), deadline)
    except (OSError, CaptureError):
        return None


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


def _listed(
    path: str, full: str, rules: DvcIgnore, deadline: float
) -> dict[str, os.stat_result] | None:
    found: dict[str, os.stat_result] = {}
    pending = [("", full, rules)]
    countdown = _CHECK_EVERY
    while pending:
        base, folder, rules = pending.pop()
        with os.scandir(folder) as entries:
            listed = list(entries)
        if any(item.name == ".dvcignore" for item in listed):
            rules = _with_file(rules, folder, f"{path}/{base}".rstrip("/"))
        for item in listed:
            countdown -= 1
            if not countdown:
                if time.monotonic() >= deadline:
                    return None
                countdown = _CHECK_EVERY
            name = item.name
            is_dir = item.is_dir()
            if rules.ignores(f"{path}/{base}{name}", name, is_dir):
                continue
            if not is_dir:
                # The target's stat for a link: that is what DVC hashes.
                found[base + name] = item.stat()
            elif not item.is_symlink():
                pending.append((f"{base}{name}/", item.path, rules))
    return found
