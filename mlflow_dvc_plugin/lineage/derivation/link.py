"""Linking the outs of stages to the runs that made them, after ``dvc repro``."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.lineage.derivation.stage_records import StageRecord, read_stage_records
from mlflow_dvc_plugin.lineage.listings import is_listing, read_listings, to_object
from mlflow_dvc_plugin.lineage.result import Result
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.state import Entry, fingerprint
from mlflow_dvc_plugin.state.objects import build_listing
from mlflow_dvc_plugin.state.tags import OUT_PREFIX, build_out_tags, to_tag_key
from mlflow_dvc_plugin.tracking import Run, search_runs, tag_clause, write_tags

_PARENT = "mlflow.parentRunId"
# How long after the end of its run a stage may still write its outs.
_GRACE = 10 * 60 * 1000  # milliseconds


@dataclass(frozen=True)
class LinkedRun(Result):
    """A run, and the hashes of what its stage made, by path.

    `changed` are the inputs that changed while it made them.
    """

    run_id: str
    stage: str
    outs: dict[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()


def link(
    *,
    experiments: Sequence[str],
    dry_run: bool,
    tracking_uri: str | None,
    path: str | None = None,
) -> tuple[list[LinkedRun], dict[str, str]]:
    """Tag the run of each stage with the outs that ``dvc.lock`` records.

    The run was started in that stage, on the inputs that ``dvc.lock`` records,
    has finished, and had started when the outs were written. If this is not
    certain of one run, no run is tagged, and the second result says why. With `path`, only
    the stage is linked that has the out at that path.
    """
    root = find_root()
    linked: list[LinkedRun] = []
    unlinked: dict[str, str] = {}
    with closing(DvcProject(root)) as dvc:
        for record in read_stage_records(root):
            if not record.outs or path not in (None, *(e.path for e in record.outs)):
                continue
            run = _find_run(dvc, record, experiments, tracking_uri)
            if isinstance(run, str):
                unlinked[record.address] = run
                continue
            tags = build_out_tags(record.outs, run.tags)
            if not dry_run and not tags.items() <= run.tags.items():
                write_tags(run.run_id, tags, tracking_uri=tracking_uri)
            outs = {e.path: str(e.hash) for e in record.outs}
            linked.append(LinkedRun(run.run_id, record.address, outs, run.changed))
    return linked, unlinked


def select_run(runs: Sequence[Run], tags: Mapping[str, str], written: int) -> Run | str:
    """The run that made a stage's outs, or why this is certain of none.

    `written` is when they were written, in milliseconds since 1970 (UTC).
    """
    finished = [run for run in runs if run.status == "FINISHED" and _PARENT not in run.tags]
    started = sorted(
        (run for run in finished if run.start_time <= written), key=lambda run: -run.start_time
    )
    active = [run for run in started if written <= (run.end_time or 0) + _GRACE]
    # Files that DVC fetched or checked out again are newer than any run.
    candidates = active or (started if len(started) == 1 else [])
    if not candidates:
        if not finished:
            return "no finished run was started in it on the inputs that dvc.lock records"
        return "no run was active when its outputs were written, and several could have made them"
    newest = candidates[0]
    if any(newest.tags.get(key, value) != value for key, value in tags.items()):
        return f"run {newest.run_id} is already linked to other outputs of it"
    return newest


def _find_run(
    dvc: DvcProject, record: StageRecord, experiments: Sequence[str], tracking_uri: str | None
) -> Run | str:
    if not _has_recorded_inputs(dvc, record):
        return "its inputs have changed since dvc.lock recorded them: run `dvc repro` first"
    facts = {"dvc.stage": record.address, "dvc.inputs_hash": fingerprint(record.inputs)}
    clauses = [tag_clause(key, value) for key, value in facts.items()]
    found = search_runs(clauses, experiments, tracking_uri)
    runs = [run for run in found if facts.items() <= run.tags.items()]
    tags = {to_tag_key(e.path, OUT_PREFIX): str(e.hash) for e in record.outs}
    return select_run(runs, tags, _find_write_time(dvc, record))


def _find_write_time(dvc: DvcProject, record: StageRecord) -> int:
    """When the stage's outs were written, in milliseconds since 1970 (UTC).

    An object in the cache has the time of its bytes. Bytes that are also an
    input were there before the stage ran. If there are no others, or the cache
    lacks some, the time of the lock file counts.
    """
    inputs = {e.hash for e in record.inputs}
    paths = [dvc.cache.path(to_object(e)) for e in record.outs if e.hash not in inputs]
    if not paths or not all(map(os.path.isfile, paths)):
        paths = [os.path.join(dvc.root, record.outs[0].metafile)]
    return max(os.stat(path).st_mtime_ns for path in paths) // 1_000_000


def _has_recorded_inputs(dvc: DvcProject, record: StageRecord) -> bool:
    """The stage's inputs have the hashes that ``dvc.lock`` recorded of its deps."""
    covered: set[Entry] = set()
    for path, value in record.deps.items():
        outs = [e for e in record.inputs if _overlap(e.path, path)]
        if outs and _hash_dep(dvc, path, outs) != value:
            return False
        covered.update(outs)
    return len(covered) == len(record.inputs)


def _hash_dep(dvc: DvcProject, path: str, outs: Sequence[Entry]) -> str | None:
    """The hash of a dep, from the outs at, above or below its path; None if it is not known."""
    if outs[0].path == path:
        return outs[0].hash
    listings = {obj: members for obj, members, *_ in read_listings(dvc, outs)}
    files: dict[str, str] = {}
    for e in outs:
        obj = to_object(e)
        members = listings.get(obj) if is_listing(obj) else {"": obj.value}
        if members is None:
            return None
        files.update({posixpath.join(e.path, name).rstrip("/"): h for name, h in members.items()})
    if path in files:
        return files[path]
    files.update(_hash_other_files(dvc, path, [e.path for e in outs]))
    below = {name[len(path) + 1 :]: h for name, h in files.items() if name.startswith(f"{path}/")}
    return build_listing(below)[0].value


def _hash_other_files(dvc: DvcProject, folder: str, outs: Iterable[str]) -> dict[str, str]:
    """The hashes of a folder's files that are in no out: metafiles, and what Git tracks."""
    found = {}
    for file in dvc.list_files(os.path.join(dvc.root, folder)):
        path = os.path.relpath(file, dvc.root).replace(os.sep, "/")
        if not any(path == out or path.startswith(f"{out}/") for out in outs):
            found[path] = dvc.hash_file(file, "md5")
    return found


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
