"""A run that has started, and the guard that keeps errors from it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice

from mlflow_dvc_plugin.autologging.parts import Parts
from mlflow_dvc_plugin.autologging.pipeline import PipelineFiles
from mlflow_dvc_plugin.capturing.run_end import RunData
from mlflow_dvc_plugin.state import DataState

Stamp = tuple[int, int, int]  # mtime in nanoseconds, size, inode: they change with a write

_logger = logging.getLogger("mlflow_dvc_plugin.autolog")
_MAX_FILES = 2_000  # in one folder


@dataclass
class Recording:
    """What autologging knows about a run between its start and its end.

    Attributes:
        state: the data state; None if the run was recorded on another one.
        max_datasets: how many outs become dataset inputs.
        params: the values of the parameters when the run started.
        stamps: the stamps of metrics and plots files when the run started; None
            if it started in another process.
        tags: the run's tags, as it has them after it started.
        files_hash: Python's hash of the uploaded files; None if there are none.
        data: what the run started on, to look at it again; None if its data is not here.
        pid: the process in which the run started.
    """

    run_id: str
    parts: Parts
    state: DataState | None
    max_datasets: int
    start_ns: int
    pipeline: PipelineFiles = field(default_factory=PipelineFiles)
    params: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, Stamp] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    files_hash: int | None = None
    data: RunData | None = None
    pid: int = field(default_factory=os.getpid)


# The parts that were not logged because of an error in this process.
_failed: set[str] = set()


def has_upload_failed() -> bool:
    """An upload failed in this process: a search of hundreds of runs must not wait for each."""
    return not _failed.isdisjoint({"artifacts", "plots", "report"})


@contextmanager
def guard(parts: Parts, name: str) -> Iterator[None]:
    """Turn an error into a warning that says that `name` was not logged."""
    try:
        yield
    except Exception as err:  # noqa: BLE001 - an error must not fail the run
        lines = str(err).strip().splitlines()
        reason = lines[0] if lines else type(err).__name__
        _failed.add(name)
        warn(parts, [f"DVC autologging did not log {name}: {reason}"])


def warn(parts: Parts, messages: Iterable[str]) -> None:
    """Log warnings, unless they are suppressed."""
    for message in () if parts.silent else messages:
        _logger.warning("%s", message)


def read_stamps(project: str, paths: Iterable[str]) -> dict[str, Stamp]:
    """The stamps of files and of the files in folders, by path relative to the project."""
    stamps: dict[str, Stamp] = {}
    for path in paths:
        for name in _list_files(project, path):
            with suppress(OSError):
                info = os.stat(os.path.join(project, name))
                stamps[name] = (info.st_mtime_ns, info.st_size, info.st_ino)
    return stamps


def _list_files(project: str, path: str) -> Iterator[str]:
    full = os.path.join(project, path)
    if not os.path.isdir(full):
        return iter([path])
    below = (os.path.join(folder, name) for folder, _, names in os.walk(full) for name in names)
    files = (os.path.relpath(name, project).replace(os.sep, "/") for name in below)
    return islice(files, _MAX_FILES)
