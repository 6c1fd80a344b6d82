"""Compare what a stage made before with what it made now."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.dvc.stages import StageRecord
from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.rerunning.plan import Plan
from mlflow_dvc_plugin.rerunning.values import Difference, compare_files
from mlflow_dvc_plugin.rerunning.verdict import Comparison, Tolerance, judge
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX, Obj, parse_listing
from mlflow_dvc_plugin.state.tags import OUT_PREFIX, to_tag_key

# The files of an out, by path in it: hash and absolute path. A single file has no path.
_Files = Mapping[str, tuple[str, str]]


def compare_outputs(
    dvc: DvcProject,
    before: Mapping[str, str],
    made: StageRecord,
    folder: str,
    tolerance: Tolerance,
) -> list[Comparison]:
    """Compare the outs of a stage, by hash, and by value where the format allows it.

    Args:
        dvc: the project, whose cache has the old ones.
        before: the hashes of the old ones, by path, as far as they are recorded.
        made: the stage as the worktree's ``dvc.lock`` has it now.
        folder: the project in the worktree, which has the new ones.
        tolerance: how much numbers may differ.
    """
    found = []
    for out in made.outs:
        old = before.get(out.path)
        if old is None or out.hash is None:
            found.append(Comparison(out.path, old, out.hash, None))
        elif old == out.hash:
            found.append(Comparison(out.path, old, out.hash, "identical"))
        else:
            difference = _compare_contents(dvc, out, old, folder)
            # Other bytes are not identical, even if all their values are equal.
            verdict = judge(out.path, difference, tolerance)
            verdict = "within tolerance" if verdict == "identical" else verdict
            found.append(Comparison(out.path, old, out.hash, verdict, difference))
    return found


def find_old_hashes(dvc: DvcProject, plan: Plan, made: StageRecord) -> dict[str, str]:
    """The hashes of what the old run's stage made, as far as they are recorded.

    They are in its tags if it was linked. Else a ``dvc.lock`` may record what the same
    commands made from the same deps and params: that of the commit, or of the project now.
    """
    found: dict[str, str] = {}
    deps = _find_old_deps(plan, made)
    for record in (plan.record, _read_present_stage(dvc, plan.stage or "")):
        if record and (record.commands, record.deps) == (made.commands, deps):
            found.update({e.path: e.hash for e in record.outs if e.hash})
    tags = plan.run.tags
    keys = {e.path: to_tag_key(e.path, OUT_PREFIX) for e in made.outs}
    return found | {path: tags[key] for path, key in keys.items() if key in tags}


def _find_old_deps(plan: Plan, made: StageRecord) -> dict[str, Any]:
    """What the old run's stage depended on: upstream stages may have made something else now."""
    anew = {e.path for record in plan.upstream.values() for e in record.outs}
    hashes = {e.path: e.hash for e in plan.selection.state.entries}
    deps = dict(made.deps)
    for key in deps:
        path = posixpath.normpath(posixpath.join(made.folder, key.partition(" ")[2]))
        if path in anew:
            deps[key] = hashes.get(path)
    return deps


def _read_present_stage(dvc: DvcProject, address: str) -> StageRecord | None:
    try:
        return dvc.read_stage(address)
    except MlflowDvcError:
        return None


def _compare_contents(dvc: DvcProject, out: Entry, old: str, folder: str) -> Difference | None:
    """How much the values of an out differ; None if that is not known."""
    before = _list_old_files(dvc, out, old)
    after = _list_new_files(os.path.join(folder, out.path), out, dvc)
    if before is None or before.keys() != after.keys():
        return None
    found = Difference()
    for name, (value, path) in before.items():
        new_value, new_path = after[name]
        if value != new_value:
            difference = compare_files(name or out.path, path, new_path)
            if difference is None:
                return None
            found += difference
    return found


def _list_old_files(dvc: DvcProject, out: Entry, value: str) -> _Files | None:
    """The files of an old out in the cache, or in the workspace if Git has it; None without them.

    What the cache has may be damaged, so each file is verified.
    """
    if not value.endswith(DIR_SUFFIX):
        obj = Obj(out.hash_name, value)
        places = [dvc.cache.path(obj)] if out.cached else [os.path.join(dvc.root, out.path)]
        for path in places:
            if os.path.isfile(path) and dvc.hash_file(path, out.hash_name) == value:
                return {"": (value, path)}
        return None
    listing = dvc.cache.path(Obj(out.hash_name, value))
    if not os.path.isfile(listing):
        return None
    with open(listing, "rb") as file:
        members = parse_listing(file.read())
    if members is None:
        return None
    files = {n: (each, dvc.cache.path(Obj(out.hash_name, each))) for n, each in members.items()}
    return files if all(os.path.isfile(path) for _, path in files.values()) else None


def _list_new_files(path: str, out: Entry, dvc: DvcProject) -> _Files:
    return {name: (dvc.hash_file(file, out.hash_name), file) for name, file in _walk_files(path)}


def _walk_files(path: str) -> Iterator[tuple[str, str]]:
    if os.path.isfile(path):
        yield "", path
    for folder, _, names in os.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            yield os.path.relpath(file, path).replace(os.sep, "/"), file
