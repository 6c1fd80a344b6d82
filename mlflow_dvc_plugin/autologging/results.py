"""Metrics and plots that DVC's files got during a run."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mlflow_dvc_plugin.autologging import value_files as values
from mlflow_dvc_plugin.autologging.value_files import ValuesError

MAX_FILES = 200
MAX_BYTES = 16 * 1024 * 1024  # of one file
MAX_TOTAL = 64 * 1024 * 1024
_ODD = re.compile(r"[^A-Za-z0-9_./ -]")
_MAX_KEY = 250


class Stamp(NamedTuple):
    """What tells that a file was written anew."""

    mtime_ns: int
    size: int
    ino: int


def stamps(project: str, paths: Iterable[str]) -> dict[str, Stamp]:
    """The stamps of files, and of the files in folders, as they are now."""
    found: dict[str, Stamp] = {}
    for path in paths:
        for name in _files(project, path):
            try:
                info = os.stat(os.path.join(project, name))
            except OSError:
                continue
            found[name] = Stamp(info.st_mtime_ns, info.st_size, info.st_ino)
    return found


def written(
    project: str, paths: Iterable[str], before: Mapping[str, Stamp] | None, since_ns: int
) -> list[str]:
    """Those of the files that were written during a run.

    Args:
        project: absolute path of the project.
        paths: files and folders, relative to it.
        before: their stamps when the run began; None if nobody looked.
        since_ns: when the run began, for then.
    """
    now = stamps(project, paths)
    if before is not None:
        return [path for path, stamp in now.items() if before.get(path) != stamp]
    return [path for path, stamp in now.items() if stamp.mtime_ns >= since_ns]


def metrics(project: str, paths: Iterable[str]) -> tuple[dict[str, float], list[str]]:
    """The numbers in metrics files, flattened with dots, and what is to be said."""
    found: dict[str, float] = {}
    said: list[str] = []
    for path in paths:
        try:
            content = values.read(os.path.join(project, path))
        except ValuesError as err:
            said.append(str(err))
            continue
        for name, value in values.leaves(content):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            key = _ODD.sub("_", name)[:_MAX_KEY]
            if key in found:
                key = _ODD.sub("_", f"{path}/{name}")[:_MAX_KEY]
            found[key] = _float(value)
    return found, said


def small_enough(project: str, paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """The files that may be uploaded, and what is to be said of the others."""
    chosen: list[str] = []
    said: list[str] = []
    room = MAX_TOTAL
    for path in paths:
        size = os.path.getsize(os.path.join(project, path))
        if size > min(room, MAX_BYTES) or len(chosen) == MAX_FILES:
            said.append(f"{path} ({size:,} bytes) is not uploaded: too much")
            continue
        room -= size
        chosen.append(path)
    return chosen, said


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _files(project: str, path: str) -> Iterator[str]:
    full = os.path.join(project, path)
    if not os.path.isdir(full):
        yield path
        return
    count = 0
    for folder, _, names in os.walk(full):
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), project).replace(os.sep, "/")
            count += 1
            if count > 10 * MAX_FILES:
                return
