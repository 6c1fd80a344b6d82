"""Is a project ready: could a run that starts now be restored one day?"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import entry_points

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.capturing.run_start import RunStart, capture_run_start
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError, EmptyRemoteError, NoProjectError, join_some
from mlflow_dvc_plugin.lineage.listings import to_object
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.tags import MANIFEST

_SHOWN = 3
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
    """

    state: DataState
    tags: dict[str, str]
    problems: list[str]
    file: str = ""


def assess_readiness() -> Readiness:
    """What a run started here would be tagged with, and what keeps it from being restored."""
    found = capture_run_start(even_disabled=True)
    if found is None:
        raise NoProjectError(
            f"{os.getcwd()} is not in a DVC project. Change to one, or create one with `dvc init`."
        )
    state = found.state
    tags = state.to_tags(found.settings.max_path_tags)
    problems = [*_find_plugin_problems(found), *_find_state_problems(found, tags)]
    root = state.project or find_project()
    if root is not None:
        problems += _find_storage_problems(root, [e for e in state.entries if e.cached and e.hash])
    elif state.entries:
        problems.append(
            "It is not known where the data is stored: run `mlflow-dvc status` in the project."
        )
    return Readiness(state, tags, problems, found.settings.state or "")


def _find_plugin_problems(found: RunStart) -> list[str]:
    problems = []
    if found.settings.disable:
        problems.append("MLFLOW_DVC_DISABLE is set: runs get no tags.")
    group = entry_points(group="mlflow.run_context_provider")
    if all(point.value != "mlflow_dvc_plugin.provider:DvcRunContext" for point in group):
        problems.append("MLflow does not know the plugin in this environment: install it with pip.")
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


def _find_storage_problems(root: str, entries: list[Entry]) -> list[str]:
    """What is not in the cache, and not in a remote."""
    plain = [e for e in entries if e.kind == "plain"]
    if not entries:
        return []
    with closing(DvcProject(root)) as dvc:
        problems = []
        uncached = [e.path for e in plain if not os.path.exists(dvc.cache.path(to_object(e)))]
        if uncached:
            shown = join_some(sorted(uncached), _SHOWN)
            problems.append(f"Not in the DVC cache: {shown}. `dvc fetch` downloads it.")
        return problems + _find_remote_problems(dvc, [e for e in plain if e.push])


def _find_remote_problems(dvc: DvcProject, entries: list[Entry]) -> list[str]:
    problems = []
    by_remote: dict[str | None, list[Entry]] = {}
    for e in entries:
        by_remote.setdefault(e.remote, []).append(e)
    if not dvc.remotes.has_default() and (None in by_remote or not by_remote):
        by_remote.pop(None, None)
        problems.append(
            "There is no default DVC remote, so the cache is the only copy of the data. Add one "
            "with `dvc remote add -d NAME URL`, then run `dvc push`."
        )
    absent: list[str] = []
    for remote, outs in by_remote.items():
        name = f"The DVC remote {remote}" if remote else "The DVC remote"
        try:
            present = dvc.remotes.find_objects(map(to_object, outs), remote)
        except EmptyRemoteError as err:
            problems.append(
                f"Nothing was pushed yet: the folder {err.folder} of "
                f"{name[:1].lower()}{name[1:]} does not exist, or is not mounted. `dvc push` "
                "creates it and uploads the data."
            )
        except DvcError as err:
            problems.append(f"{name} does not answer: {err}")
        else:
            absent += [e.path for e in outs if to_object(e) not in present]
    if absent:
        shown = join_some(sorted(absent), _SHOWN)
        problems.append(f"Not in the DVC remote: {shown}. `dvc push` uploads it.")
    return problems
