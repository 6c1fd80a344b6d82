"""What this process read of its projects, for as long as nothing there changes.

A search starts hundreds of runs: each must see a change, and cost nothing if
there is none.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mlflow_dvc_plugin.capturing import config as dvc_config
from mlflow_dvc_plugin.capturing.memory.watch import Watch
from mlflow_dvc_plugin.capturing.reader import Contents, read_project
from mlflow_dvc_plugin.git import find_git

_PROJECTS = 4
# What decides where the configuration of DVC and Git is, beside the project.
_ENVIRONMENT = (
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "DVC_SYSTEM_CONFIG_DIR",
    "DVC_GLOBAL_CONFIG_DIR",
)


class Reading(NamedTuple):
    """What a project says, its workspace aside.

    Attributes:
        config: its DVC configuration.
        git: its Git work tree and ``.git`` directory; None without.
        contents: its metafiles.
        watch: all that this rests on.
    """

    config: dvc_config.Config
    git: tuple[str, str] | None
    contents: Contents
    watch: Watch


class _Remembered(NamedTuple):
    environment: tuple[str | None, ...]
    reading: Reading


_remembered: dict[str, _Remembered] = {}


def reading(project: str) -> Reading:
    """What `project` says now: the very same object if nothing changed.

    Raises:
        CaptureError: it cannot be read truthfully.
    """
    return remembered(project) or read(project)


def remembered(project: str) -> Reading | None:
    """What `project` said last, if that is what it says now."""
    before = _remembered.get(project)
    if (
        before is not None
        and before.environment == _environment()
        and before.reading.git == find_git(project)
        and before.reading.watch.holds()
    ):
        return before.reading
    return None


def read(project: str) -> Reading:
    """What `project` says now, read anew as far as it changed.

    Raises:
        CaptureError: it cannot be read truthfully.
    """
    environment = _environment()
    git = find_git(project)
    before = _remembered.get(project)
    watch = Watch()
    config = dvc_config.load(project, watch.file)
    known = None
    if before is not None and before.reading.config == config:
        known = before.reading.contents.known
    used = git if dvc_config.uses_git(config) else None
    contents = read_project(project, used, config, watch, known)
    found = Reading(config, git, contents, watch)
    if len(_remembered) >= _PROJECTS:
        _remembered.clear()
    _remembered[project] = _Remembered(environment, found)
    return found


def _environment() -> tuple[str | None, ...]:
    return tuple(map(os.environ.get, _ENVIRONMENT))


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector, to which ten thousand new values look like garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def forget(project: str) -> None:
    """Let go of a project that will not be read again."""
    _remembered.pop(project, None)
