"""Is a project ready: could a run that starts now be restored one day?"""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import entry_points, version
from typing import NamedTuple

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.capturing.run_start import RunStart, capture_run_start
from mlflow_dvc_plugin.capturing.snapshot import preview_saving
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.environments import PLUGIN, find_other_environment
from mlflow_dvc_plugin.errors import DvcError, EmptyRemoteError, NoProjectError, join_some
from mlflow_dvc_plugin.lineage.listings import is_listing, to_object
from mlflow_dvc_plugin.lineage.retention.forgotten_data import find_forgotten
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import Obj, parse_listing
from mlflow_dvc_plugin.state.tags import MANIFEST

_SHOWN = 3
_MOST_FILES = 1000
_STATUS_PROBLEMS = {
    "modified": "The data in the workspace differs from the metafiles",
    "missing": "Some data is missing from the workspace",
}


@dataclass(frozen=True)
class Readiness:
    """What a run that starts now would record.

    Attributes:
        problems: what keeps such a run from being restored, a sentence each.
        file: the exported file that the state is read from; empty for the
            project's own.
        saves: what such a run would save: number of files and bytes by path.
    """

    state: DataState
    tags: dict[str, str]
    problems: list[str]
    file: str = ""
    saves: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class _Need(NamedTuple):
    """An object that a restore needs, and its out."""

    obj: Obj
    out: Entry


def assess_readiness(tracking_uri: str | None = None) -> Readiness:
    """What a run started here would be tagged with, and what keeps it from being restored."""
    found = capture_run_start(even_disabled=True)
    if found is None:
        raise NoProjectError(
            f"{os.getcwd()} is not in a DVC project. Change to one, or create one with `dvc init`."
        )
    saves: Mapping[str, tuple[int, int]] = {}
    if found.settings.save and found.state.project:
        preview = preview_saving(found.state.project, found.settings)
        values = {name: getattr(preview, name) for name in ("entries", "status", "modified")}
        found, saves = found._replace(state=found.state._replace(**values)), preview.new
    state = found.state
    tags = state.to_tags(found.settings.max_path_tags)
    root = state.project or find_project()
    problems = [*_find_plugin_problems(found, root), *_find_state_problems(found, tags)]
    if root is not None:
        entries = [e for e in state.entries if e.cached and e.hash and e.path not in saves]
        problems += _find_storage_problems(root, entries, tracking_uri)
    elif state.entries:
        problems.append(
            "It is not known where the data is stored: run `mlflow-dvc status` in the project."
        )
    return Readiness(state, tags, problems, found.settings.state or "", saves)


def _find_plugin_problems(found: RunStart, root: str | None) -> list[str]:
    problems = []
    if found.settings.disable:
        problems.append("MLFLOW_DVC_DISABLE is set: runs get no tags.")
    group = entry_points(group="mlflow.run_context_provider")
    if all(point.value != "mlflow_dvc_plugin.provider:DvcRunContext" for point in group):
        problems.append("MLflow does not know the plugin in this environment: install it with pip.")
    other = find_other_environment(root) if root else None
    if other is None:
        return problems
    if other.find_version(PLUGIN) is None:
        python = shlex.quote(os.path.join(other.prefix, "bin", "python"))
        problems.append(
            f"Runs that start in {other.prefix} get no tags, because the plugin is not installed "
            f"there: `{python} -m pip install {PLUGIN}`."
        )
    ours, theirs = version("dvc"), other.find_version("dvc")
    if theirs is not None and theirs.split(".")[0] != ours.split(".")[0]:
        problems.append(
            f"DVC {theirs} in {other.prefix} may not read what this mlflow-dvc restores, because "
            f"it uses DVC {ours}: update DVC there, or restore with --out DIR."
        )
    return problems


def _find_state_problems(found: RunStart, tags: dict[str, str]) -> list[str]:
    state, problems = found.state, []
    if not any(e.cached and e.hash for e in state.entries):
        problems.append("DVC tracks no data here: `dvc add` some, or run `dvc repro`.")
    if state.entries and MANIFEST not in tags:
        problems.append("The data state is too large for tags: commit the metafiles to Git.")
    if state.status in _STATUS_PROBLEMS:
        when = "When the state was exported: " if found.settings.state else ""
        again = ". Then export the state again" if found.settings.state else ""
        problems.append(
            f"{when}{_STATUS_PROBLEMS[state.status]}. `dvc status` shows where; `dvc commit` or "
            f"`dvc checkout` corrects it{again}."
        )
    return problems


def _find_storage_problems(root: str, entries: list[Entry], tracking_uri: str | None) -> list[str]:
    """What is not in the cache, and not in a remote."""
    plain = [e for e in entries if e.kind == "plain"]
    if not entries:
        return []
    with closing(DvcProject(root)) as dvc:
        uncached = _find_uncached(dvc, plain)
        needs = {**{e.path: _Need(to_object(e), e) for e in plain}, **uncached}
        pushed = {path: need for path, need in needs.items() if need.out.push}
        absent, problems = _find_absent(dvc, pushed)
        stored = pushed.keys() - absent
        if dvc.remotes.find_default() is None:
            stored = {path for path in stored if pushed[path].out.remote}
    lost = {path: need for path, need in uncached.items() if path not in stored}
    forgotten = _find_forgotten(root, lost, tracking_uri) if lost else {}
    return [
        *(
            f"{join_some(paths, _SHOWN)}: {when}. A run that needs it cannot be restored."
            for when, paths in forgotten.items()
        ),
        *_name_paths("Not in the DVC cache: {}. `dvc fetch` downloads it.", uncached, forgotten),
        *problems,
        *_name_paths("Not in the DVC remote: {}. `dvc push` uploads it.", absent, forgotten),
    ]


def _find_uncached(dvc: DvcProject, entries: Iterable[Entry]) -> dict[str, _Need]:
    """The objects that the cache lacks, by path: of outs, and of files in those with a listing.

    A folder that lacks many files stands for them: no remote is asked for each.
    """
    uncached: dict[str, _Need] = {}
    for e in entries:
        obj = to_object(e)
        needs = {e.path: _Need(obj, e)}
        for _, data in dvc.storage.cache.read([obj] if is_listing(obj) else []):
            for name, value in (parse_listing(data) or {}).items():
                needs[posixpath.join(e.path, name)] = _Need(Obj(obj.hash_name, value), e)
        missing = dvc.cache.find_missing(need.obj for need in needs.values())
        is_known = len(missing) <= _MOST_FILES
        lacking = {path: need for path, need in needs.items() if need.obj in missing}
        uncached.update(lacking if is_known else {e.path: needs[e.path]})
    return uncached


def _find_forgotten(
    root: str, lost: Mapping[str, _Need], tracking_uri: str | None
) -> dict[str, list[str]]:
    objs = {path: need.obj for path, need in lost.items()}
    outs = {to_object(need.out) for need in lost.values()}
    return find_forgotten(root, objs, outs, tracking_uri)


def _name_paths(
    text: str, paths: Iterable[str], forgotten: Mapping[str, Sequence[str]]
) -> list[str]:
    """A problem of all these paths, except for those that were forgotten."""
    known = {path for some in forgotten.values() for path in some}
    rest = sorted({*paths} - known)
    return [text.format(join_some(rest, _SHOWN))] if rest else []


def _find_absent(dvc: DvcProject, needs: Mapping[str, _Need]) -> tuple[set[str], list[str]]:
    """The paths of objects that their remotes lack, and what is wrong with the remotes."""
    problems = []
    by_remote: dict[str | None, dict[str, Obj]] = {}
    for path, need in needs.items():
        by_remote.setdefault(need.out.remote, {})[path] = need.obj
    if dvc.remotes.find_default() is None and (None in by_remote or not by_remote):
        by_remote.pop(None, None)
        problems.append(
            "There is no default DVC remote, so the cache is the only copy of the data. Add one "
            "with `dvc remote add -d NAME URL`, then run `dvc push`."
        )
    absent: set[str] = set()
    for remote, objs in by_remote.items():
        name = f"The DVC remote {remote}" if remote else "The DVC remote"
        try:
            present = dvc.remotes.find_objects(objs.values(), remote)
        except EmptyRemoteError as err:
            problems.append(
                f"Nothing was pushed yet: the folder {err.folder} of "
                f"{name[:1].lower()}{name[1:]} does not exist, or is not mounted. `dvc push` "
                "creates it and uploads the data."
            )
        except DvcError as err:
            problems.append(f"{name} does not answer: {err}")
        else:
            absent |= {path for path, obj in objs.items() if obj not in present}
    return absent, problems
