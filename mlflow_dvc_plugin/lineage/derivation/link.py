"""Tie what stages made to the runs that made it, after ``dvc repro``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.lineage import listings
from mlflow_dvc_plugin.lineage.derivation.stage_records import StageRecord, stage_records
from mlflow_dvc_plugin.lineage.listings import Members, obj_of
from mlflow_dvc_plugin.lineage.workspace import root_of
from mlflow_dvc_plugin.state import Entry, fingerprint
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj
from mlflow_dvc_plugin.state.tags import OUT_PREFIX, to_tag_key
from mlflow_dvc_plugin.tracking import Run, search_runs, tag_clause, write_tags

_PARENT = "mlflow.parentRunId"
# How long after its run has ended a stage may still write.
_SLACK = 10 * 60 * 1000  # milliseconds


@dataclass(frozen=True)
class LinkedRun:
    """A run, and what its stage made.

    Attributes:
        run_id: the run.
        stage: address of the stage.
        outs: the hashes of what it made, by path.
    """

    run_id: str
    stage: str
    outs: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Links:
    """What was tied, and what was not.

    Attributes:
        runs: the runs that got tags, or had them.
        left: stages without a run that surely made their outs, and why.
    """

    runs: list[LinkedRun]
    left: dict[str, str]


def link(
    *,
    experiments: Sequence[str] = (),
    dry_run: bool = False,
    tracking_uri: str | None = None,
    project: str | None = None,
) -> Links:
    """Tag the run of each stage with what ``dvc.lock`` says that the stage made.

    Such a run was started in that stage, on the inputs that ``dvc.lock``
    records, has finished, and had started when the outs were written. Where
    that leaves doubt, no run is tagged.

    Args:
        experiments: names of experiments; none for all.
        dry_run: write nothing.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.

    Raises:
        MlflowDvcError: the project or the runs cannot be read.
    """
    root = root_of(project)
    done: list[LinkedRun] = []
    left: dict[str, str] = {}
    dvc = DvcProject(root)
    try:
        for record in stage_records(root):
            if not record.outs:
                continue
            found = _run_of(dvc, record, experiments, tracking_uri)
            if isinstance(found, str):
                left[record.address] = found
                continue
            tags = {to_tag_key(e.path, OUT_PREFIX): str(e.hash) for e in record.outs}
            if not dry_run and not tags.items() <= found.tags.items():
                write_tags(found.run_id, tags, tracking_uri=tracking_uri)
            outs = {e.path: str(e.hash) for e in record.outs}
            done.append(LinkedRun(found.run_id, record.address, outs))
    finally:
        dvc.close()
    return Links(done, left)


def choose(runs: Sequence[Run], outs: Mapping[str, str], written: int) -> Run | str:
    """The run that made a stage's outs, or why none is sure to be it.

    Args:
        runs: those in the stage, on the recorded inputs.
        outs: the hashes of what the stage made, by the keys of their tags.
        written: when the outs were written, in milliseconds since 1970 (UTC).
    """
    ended = [run for run in runs if run.status == "FINISHED" and _PARENT not in run.tags]
    before = sorted(
        (run for run in ended if run.start_time <= written), key=lambda run: -run.start_time
    )
    during = [run for run in before if written <= (run.end_time or 0) + _SLACK]
    # What was fetched, or checked out anew, was written later than by any run.
    fitting = during or (before if len(before) == 1 else [])
    if not fitting:
        if not ended:
            return "no finished run was started in it on the inputs that dvc.lock records"
        return "no run is sure to have made what dvc.lock records: times do not tell"
    newest = fitting[0]
    if any(newest.tags.get(key, value) != value for key, value in outs.items()):
        return f"run {newest.run_id} is known to have made something else"
    return newest


def _run_of(
    dvc: DvcProject, record: StageRecord, experiments: Sequence[str], tracking_uri: str | None
) -> Run | str:
    inputs = _recorded_inputs(dvc, record)
    if inputs is None:
        return "what it read is not what its inputs are now: run `dvc repro` first"
    value = fingerprint(inputs)
    clauses = [tag_clause("dvc.stage", record.address), tag_clause("dvc.inputs_hash", value)]
    runs = [
        run
        for run in search_runs(clauses, experiments, tracking_uri)
        if (run.tags.get("dvc.stage"), run.tags.get("dvc.inputs_hash")) == (record.address, value)
    ]
    outs = {to_tag_key(e.path, OUT_PREFIX): str(e.hash) for e in record.outs}
    return choose(runs, outs, _written(dvc, record))


def _written(dvc: DvcProject, record: StageRecord) -> int:
    """When the stage's outs were written, in milliseconds since 1970 (UTC).

    The cache keeps the time of the bytes. Bytes that the inputs have as well
    were there before; where only those are left, or the cache lacks some, it is
    the time of the lock file.
    """
    old = {e.hash for e in record.inputs}
    paths = [dvc.cache.path(obj_of(e)) for e in record.outs if e.hash not in old]
    if not paths or not all(map(os.path.isfile, paths)):
        paths = [os.path.join(dvc.root, record.outs[0].metafile)]
    return max(os.stat(path).st_mtime_ns for path in paths) // 1_000_000


def _recorded_inputs(dvc: DvcProject, record: StageRecord) -> list[Entry] | None:
    """The stage's inputs, if ``dvc.lock`` records it to have read just these."""
    folders = {obj: members for obj, members, _ in listings.read(dvc, record.inputs)}
    for path, value in record.deps.items():
        part = [e for e in record.inputs if _overlap(e.path, path)]
        if part and not _says(dvc, path, value, part, folders):
            return None
    covered = {e for e in record.inputs for path in record.deps if _overlap(e.path, path)}
    return list(record.inputs) if len(covered) == len(record.inputs) else None


def _says(
    dvc: DvcProject,
    path: str,
    value: str,
    part: Sequence[Entry],
    folders: Mapping[Obj, Members | None],
) -> bool:
    """A dep's recorded hash is that of the outs at, above or below its path."""
    if part[0].path == path:
        return part[0].hash == value
    files: dict[str, str] = {}
    for e in part:
        obj = obj_of(e)
        members = folders.get(obj) if listings.is_folder(obj) else {"": obj.value}
        if members is None:
            return False
        files.update({f"{e.path}/{name}".rstrip("/"): h for name, h in members.items()})
    if path in files:
        return files[path] == value
    below = {name: h for name, h in files.items() if name.startswith(f"{path}/")}
    below.update(_beside(dvc, path, [e.path for e in part]))
    return _listing_hash({name[len(path) + 1 :]: h for name, h in below.items()}) == value


def _beside(dvc: DvcProject, folder: str, outs: Sequence[str]) -> dict[str, str]:
    """The files that a folder has beside the outs in it: metafiles, Git's own."""
    found = {}
    for file in dvc.list_files(os.path.join(dvc.root, folder)):
        path = os.path.relpath(file, dvc.root).replace(os.sep, "/")
        if not any(path == out or path.startswith(f"{out}/") for out in outs):
            found[path] = dvc.hash_file(file, "md5")
    return found


def _listing_hash(files: Mapping[str, str]) -> str:
    """The hash of a folder of these files (``dvc_data.hashfile.tree.Tree``)."""
    listing = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    text = json.dumps(listing, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + DIR_SUFFIX


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
