"""Is a project ready for its runs to be restored one day?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.capturing.run_start import capture_run_start
from mlflow_dvc_plugin.errors import DvcError, NoProjectError
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import Obj
from mlflow_dvc_plugin.state.tags import MANIFEST

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

_SHOWN = 3


@dataclass(frozen=True)
class Readiness:
    """What a run started now would record.

    Attributes:
        state: the project's data state.
        tags: the tags that a run would get.
        problems: what keeps such a run from being restored, a sentence each.
        file: the exported file that the state is read from; empty for the
            project's own.
    """

    state: DataState
    tags: dict[str, str]
    problems: list[str]
    file: str = ""


def assess() -> Readiness:
    """What a run started here would be tagged with, and what stands in the way.

    Raises:
        NoProjectError: there is no DVC project here, nor an exported state.
        MlflowDvcError: the project, or the exported file, cannot be read.
    """
    found = capture_run_start(even_disabled=True)
    if found is None:
        raise NoProjectError(
            f"{os.getcwd()} is in no DVC project: go to one, or make one with `dvc init`."
        )
    state, chosen = found.state, found.settings
    tags = state.to_tags(chosen.max_path_tags)
    problems = []
    if chosen.disable:
        problems.append("MLFLOW_DVC_DISABLE is set: runs get no tags.")
    if not _registered():
        problems.append(
            "The plugin is not registered with MLflow in this environment: install it with pip."
        )
    if state.entries and MANIFEST not in tags:
        problems.append(
            "The state does not fit into tags: commit the metafiles, so that Git has them."
        )
    if state.status in ("modified", "missing"):
        differs = state.status == "modified"
        if found.file:
            verb = "differed from" if differs else "lacked some of"
            problems.append(
                f"When the state was exported, the workspace {verb} what the metafiles say: after "
                "`dvc commit` or `dvc checkout` there, export it again."
            )
        else:
            verb = "differs from" if differs else "lacks some of"
            problems.append(
                f"The workspace {verb} what the metafiles say: `dvc status` tells where; `dvc "
                "commit` or `dvc checkout` mends it."
            )
    root = state.project or find_project()
    if root is not None:
        problems += _stored(root, [e for e in state.entries if e.cached and e.hash])
    elif state.entries:
        problems.append(
            "Where the data is stored cannot be told without the project: `mlflow-dvc status` "
            "there tells."
        )
    return Readiness(state, tags, problems, found.file)


def _registered() -> bool:
    group = entry_points(group="mlflow.run_context_provider")
    return any(point.value == "mlflow_dvc_plugin.provider:DvcRunContext" for point in group)


def _stored(root: str, entries: list[Entry]) -> list[str]:
    """Is the data in the cache, and in a remote?"""
    if not entries:
        return []
    plain = [e for e in entries if e.kind == "plain"]
    from mlflow_dvc_plugin.dvc.project import DvcProject

    dvc = DvcProject(root)
    try:
        lacking = [e.path for e in plain if not os.path.exists(dvc.cache.path(_obj(e)))]
        problems = []
        if lacking:
            problems.append(f"Not in the DVC cache: {_listed(lacking)}; `dvc fetch` brings it.")
        return problems + _pushed(dvc, [e for e in plain if e.push])
    finally:
        dvc.close()


def _pushed(dvc: DvcProject, entries: list[Entry]) -> list[str]:
    """Does the remote of each out have it?"""
    problems = []
    unpushed: list[str] = []
    by_remote: dict[str | None, list[Entry]] = {}
    for e in entries:
        by_remote.setdefault(e.remote, []).append(e)
    if not dvc.remotes.has_default() and (None in by_remote or not by_remote):
        by_remote.pop(None, None)
        problems.append(
            "There is no default DVC remote: a lost cache would be lost for good. Add one "
            "with `dvc remote add -d NAME URL`, then `dvc push`."
        )
    for remote, some in by_remote.items():
        try:
            present = dvc.remotes.find_objects(map(_obj, some), remote)
        except DvcError as err:
            problems.append(
                f"The DVC remote{f' {remote}' if remote else ''} cannot be asked: {err}"
            )
            continue
        unpushed += [e.path for e in some if _obj(e) not in present]
    if unpushed:
        problems.append(f"Not in the DVC remote: {_listed(unpushed)}; `dvc push` sends it.")
    return problems


def _obj(e: Entry) -> Obj:
    return Obj(e.hash_name, str(e.hash))


def _listed(paths: list[str]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(sorted(paths)[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
