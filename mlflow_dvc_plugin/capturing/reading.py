"""What a project's metafiles and configuration say, remembered while they do not change.

A parameter search starts hundreds of runs in one process, and a pipeline many
processes. Each run must see a change of the project, and costs next to nothing if
there is none. So a reading is kept in the process and saved below ``.dvc/tmp``. It
is used again only if everything that it depends on is unchanged.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow_dvc_plugin.capturing.dvc_config import Config, load_config, uses_git
from mlflow_dvc_plugin.capturing.files import HashedFiles
from mlflow_dvc_plugin.capturing.formats.outs import Out, ProjectMetafiles, Stage
from mlflow_dvc_plugin.capturing.formats.paths import WorkingDir
from mlflow_dvc_plugin.capturing.memory import saved_results
from mlflow_dvc_plugin.capturing.memory.watch import Watch
from mlflow_dvc_plugin.named_tuple import NamedTuple
from mlflow_dvc_plugin.state import Entry

_MAX_PROJECTS = 4
# Creates a named tuple in half the time: there can be ten thousand.
_new = tuple.__new__


class Reading(NamedTuple):
    """Everything that capture reads of a project, except for its data."""

    config: Config
    metafiles: ProjectMetafiles
    watch: Watch
    derived: dict[Any, Any]  # what was computed from this reading alone


_readings: dict[str, Reading] = {}


def read_project(project: str, save: bool = True) -> Reading:
    """Read a project, or return the very same reading as before if nothing changed.

    With `save`, use and leave a saved reading, for other processes.
    """
    before = _readings.get(project)
    if before is not None and before.watch.is_unchanged():
        return before
    with pause_collector():
        reading = _load(project) if save and before is None else None
        if reading is None:
            reading = _read(project, before)
            if save:
                _save(project, reading)
    if len(_readings) >= _MAX_PROJECTS:
        _readings.clear()
    _readings[project] = reading
    return reading


def forget_project(project: str) -> None:
    """Drop the reading of a project that will not be read again."""
    _readings.pop(project, None)


def _read(project: str, before: Reading | None) -> Reading:
    # Only a process that reads metafiles pays for its parsers.
    from mlflow_dvc_plugin.capturing.metafiles import read_metafiles

    watch = Watch(project)
    config = load_config(project, watch.add_file)
    git = watch.git if uses_git(config) else None
    known = before.metafiles.known if before and before.config == config else {}
    return Reading(config, read_metafiles(project, git, config, watch, known), watch, {})


def _load(project: str) -> Reading | None:
    """The saved reading of a project; None if there is none that still holds."""
    saved = saved_results.load_result(_saved_path(project))
    try:
        watch = Watch.from_json(project, saved["watch"])
        if not watch.is_unchanged():
            return None
        config = load_config(project)  # it is not saved: it can contain passwords
        stages = _stages_from_json(project, config, saved["stages"])
        contents = HashedFiles(project, saved["hashes"])
        metafiles = ProjectMetafiles(stages, contents, saved["hashes"], {})
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    return Reading(config, metafiles, watch, {})


def _save(project: str, reading: Reading) -> None:
    metafiles = reading.metafiles
    members = [out.files for stage in metafiles.stages for out in stage.outs if out.files]
    if not all(saved_results.is_json([dict(member) for member in files]) for files in members):
        return
    saved_results.save_result(
        _saved_path(project),
        {
            "hashes": metafiles.hashes,
            "watch": reading.watch.to_json(),
            "stages": [
                [s.address, s.name, s.metafile, s.folder.path, s.dep_paths, s.outs]
                for s in metafiles.stages
            ],
        },
    )


def _saved_path(project: str) -> str:
    return saved_results.result_path(project, "reading", project.encode("utf-8", "surrogateescape"))


def _stages_from_json(project: str, config: Config, saved: list[list[Any]]) -> list[Stage]:
    folders: dict[tuple[str, str], WorkingDir] = {}
    stages = []
    for address, name, metafile, path, dep_paths, outs in saved:
        folder = folders.get((metafile, path))
        if folder is None:
            folder = folders[metafile, path] = WorkingDir(project, config, metafile, path)
        stage = address, name, metafile, folder, dep_paths, tuple(map(_out_from_json, outs))
        stages.append(_new(Stage, stage))
    return stages


def _out_from_json(saved: list[Any]) -> Out:
    entry, path, local, files = saved
    return _new(Out, (_new(Entry, entry), path, local, files and tuple(files)))


@contextmanager
def pause_collector() -> Iterator[None]:
    """Stop the garbage collector while tens of thousands of values are created at once."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
