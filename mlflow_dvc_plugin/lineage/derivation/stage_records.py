"""What the stages of a project read and made, as its metafiles say now."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import NamedTuple

from mlflow_dvc_plugin.capturing.formats.outs import ProjectMetafiles, Stage
from mlflow_dvc_plugin.capturing.formats.pipeline import parse_lock
from mlflow_dvc_plugin.capturing.reading import read_project
from mlflow_dvc_plugin.capturing.running_stage import find_valid_outs
from mlflow_dvc_plugin.lineage.workspace import read_state
from mlflow_dvc_plugin.state import Entry, fingerprint


class StageRecord(NamedTuple):
    """A stage of the project.

    Attributes:
        inputs: its data inputs, as a run in it would record them now.
        deps: the hashes that ``dvc.lock`` recorded of its deps when it last ran,
            by path relative to the project.
    """

    address: str
    inputs: tuple[Entry, ...]
    deps: Mapping[str, str]
    outs: tuple[Entry, ...]


def hash_stage_inputs(root: str, outs: Mapping[str, Entry]) -> list[str]:
    """The fingerprints that runs in the project's stages would get, one for each set of inputs."""
    found = [
        fingerprint(outs.get(e.path, e) for e in record.inputs)
        for record in read_stage_records(root)
        if record.inputs
    ]
    return list(dict.fromkeys(found))


def read_stage_records(root: str) -> list[StageRecord]:
    """The project's stages."""
    metafiles = read_project(root).metafiles
    selected = {e.path for e in read_state(root).entries}
    records = []
    for stage in metafiles.stages:
        if stage.address is None:
            continue
        entries = [out.entry for out in find_valid_outs(metafiles.stages, stage)]
        inputs = tuple(e for e in entries if e.input and e.cached and e.hash and e.path in selected)
        outs = tuple(out.entry for out in stage.outs if out.entry.cached and out.entry.hash)
        deps = _read_locked_deps(root, metafiles, stage)
        records.append(StageRecord(stage.address, inputs, deps, outs))
    return records


def _read_locked_deps(root: str, metafiles: ProjectMetafiles, stage: Stage) -> dict[str, str]:
    lockfile = posixpath.splitext(stage.metafile)[0] + ".lock"
    if stage.name is None or lockfile not in metafiles.contents:
        return {}
    locked = parse_lock(metafiles.contents[lockfile]).get(stage.name, {})
    deps = {}
    for dep in locked.get("deps") or ():
        if dep.get("md5"):
            path = os.path.normpath(os.path.join(stage.folder.path, dep["path"]))
            deps[os.path.relpath(path, root).replace(os.sep, "/")] = str(dep["md5"]).lower()
    return deps
