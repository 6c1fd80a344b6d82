"""What the stages of a project read and made, as its metafiles say now."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import NamedTuple

from mlflow_dvc_plugin.capturing.formats.outs import Stage
from mlflow_dvc_plugin.capturing.formats.pipeline import parse_lock
from mlflow_dvc_plugin.capturing.metafiles import ProjectMetafiles
from mlflow_dvc_plugin.capturing.reading import read_project
from mlflow_dvc_plugin.capturing.running_stage import find_valid_outs
from mlflow_dvc_plugin.lineage.workspace import state_now
from mlflow_dvc_plugin.state import Entry, fingerprint


class StageRecord(NamedTuple):
    """A stage that has run.

    Attributes:
        address: as DVC prints it.
        inputs: its data inputs, as a run in it would see them now.
        deps: what ``dvc.lock`` recorded of its deps when it last ran: hashes
            by path relative to the project.
        outs: the cached outs that it made.
    """

    address: str
    inputs: tuple[Entry, ...]
    deps: Mapping[str, str]
    outs: tuple[Entry, ...]


def inputs_hashes(root: str) -> list[str]:
    """For each stage that reads data, the fingerprint that a run in it would get now.

    Raises:
        MlflowDvcError: the project's metafiles cannot be read.
    """
    found = [fingerprint(record.inputs) for record in stage_records(root) if record.inputs]
    return list(dict.fromkeys(found))


def stage_records(root: str) -> list[StageRecord]:
    """The project's stages.

    Raises:
        MlflowDvcError: the project's metafiles cannot be read.
    """
    metafiles = read_project(root).metafiles
    selected = {e.path for e in state_now(root).entries}
    records = []
    for stage in metafiles.stages:
        if stage.address is None:
            continue
        entries = [out.entry for out in find_valid_outs(metafiles.stages, stage)]
        inputs = tuple(e for e in entries if e.input and e.cached and e.hash and e.path in selected)
        outs = tuple(out.entry for out in stage.outs if out.entry.cached and out.entry.hash)
        records.append(StageRecord(stage.address, inputs, _deps(root, metafiles, stage), outs))
    return records


def _deps(root: str, metafiles: ProjectMetafiles, stage: Stage) -> dict[str, str]:
    lockfile = posixpath.splitext(stage.metafile)[0] + ".lock"
    if stage.name is None or lockfile not in metafiles.contents:
        return {}
    locked = parse_lock(metafiles.contents[lockfile]).get(stage.name, {})
    found = {}
    for dep in locked.get("deps") or ():
        if dep.get("md5"):
            path = os.path.normpath(os.path.join(stage.wdir, dep["path"]))
            found[os.path.relpath(path, root).replace(os.sep, "/")] = str(dep["md5"]).lower()
    return found
