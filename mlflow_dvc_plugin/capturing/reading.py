"""What a project's metafiles and configuration say, remembered while they do not change.

A parameter search starts hundreds of runs in one process. Each run must see a
change of the project, and costs next to nothing if there is none.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mlflow_dvc_plugin.capturing.dvc_config import Config, load_config, uses_git
from mlflow_dvc_plugin.capturing.memory.watch import Watch
from mlflow_dvc_plugin.capturing.metafiles import ProjectMetafiles, read_metafiles

_MAX_PROJECTS = 4


class Reading(NamedTuple):
    """Everything that capture reads of a project, except for its data.

    Attributes:
        config: the DVC configuration.
        metafiles: the metafiles and their stages.
        watch: everything that the reading depends on.
        derived: what was computed from this reading alone, for the next capture.
    """

    config: Config
    metafiles: ProjectMetafiles
    watch: Watch
    derived: dict[Any, Any]


_readings: dict[str, Reading] = {}


def read_project(project: str) -> Reading:
    """Read a project, or return the very same reading as before if nothing changed.

    Raises:
        CaptureError: the metafiles cannot be read, or DVC would refuse them.
    """
    before = _readings.get(project)
    if before is not None and before.watch.is_unchanged():
        return before
    with pause_collector():
        watch = Watch(project)
        config = load_config(project, watch.add_file)
        git = watch.git if uses_git(config) else None
        known = before.metafiles.known if before and before.config == config else {}
        metafiles = read_metafiles(project, git, config, watch, known)
    if len(_readings) >= _MAX_PROJECTS:
        _readings.clear()
    reading = _readings[project] = Reading(config, metafiles, watch, {})
    return reading


def forget_project(project: str) -> None:
    """Drop the reading of a project that will not be read again."""
    _readings.pop(project, None)


@contextmanager
def pause_collector() -> Iterator[None]:
    """Stop the garbage collector while tens of thousands of values are created at once.

    Keep this short: a process that another thread forks in the meantime keeps
    its collector stopped.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
