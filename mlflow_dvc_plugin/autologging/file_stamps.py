"""Which files were written during a run: they have another stamp than at its start."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

_MAX_FILES = 2_000  # in one folder


class Stamp(NamedTuple):
    """What changes when a file is written."""

    mtime_ns: int
    size: int
    inode: int


def read_stamps(project: str, paths: Iterable[str]) -> dict[str, Stamp]:
    """The stamps of files that exist, by path relative to the project.

    Args:
        project: absolute path of the project.
        paths: files, and folders that hold files, relative to the project.
    """
    stamps: dict[str, Stamp] = {}
    for path in paths:
        for name in _list_files(project, path):
            try:
                info = os.stat(os.path.join(project, name))
            except OSError:
                continue
            stamps[name] = Stamp(info.st_mtime_ns, info.st_size, info.st_ino)
    return stamps


def find_written(
    project: str, paths: Iterable[str], before: Mapping[str, Stamp] | None, start_ns: int
) -> list[str]:
    """The files that were written during a run.

    Args:
        project: absolute path of the project.
        paths: files, and folders that hold files, relative to the project.
        before: their stamps when the run started; None if they were not read.
        start_ns: when the run started, which decides if `before` is None.
    """
    now = read_stamps(project, paths)
    if before is not None:
        return [path for path, stamp in now.items() if before.get(path) != stamp]
    return [path for path, stamp in now.items() if stamp.mtime_ns >= start_ns]


def _list_files(project: str, path: str) -> Iterator[str]:
    full = os.path.join(project, path)
    if not os.path.isdir(full):
        return iter([path])
    below = (os.path.join(folder, name) for folder, _, names in os.walk(full) for name in names)
    files = (os.path.relpath(name, project).replace(os.sep, "/") for name in below)
    return islice(files, _MAX_FILES)
