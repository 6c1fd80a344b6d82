"""Is a project ready for its runs to be restored one day?"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from mlflow_dvc_plugin import settings as settings_of
from mlflow_dvc_plugin.capture import capture, find_project
from mlflow_dvc_plugin.dvc import DvcProject
from mlflow_dvc_plugin.errors import DvcError, NoProjectError
from mlflow_dvc_plugin.git import with_committed
from mlflow_dvc_plugin.objects import Obj
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.tags import MANIFEST, to_tags

_SHOWN = 3


@dataclass(frozen=True)
class Readiness:
    """What a run started now would record.

    Attributes:
        state: the project's data state.
        tags: the tags that a run would get.
        problems: what keeps such a run from being restored, a sentence each.
    """

    state: DataState
    tags: dict[str, str]
    problems: list[str]


def assess() -> Readiness:
    """What a run started here would be tagged with, and what stands in the way.

    Raises:
        NoProjectError: there is no DVC project here.
        MlflowDvcError: the project cannot be read.
    """
    root = find_project(settings=settings_of.from_environment())
    if root is None:
        raise NoProjectError(
            f"{os.getcwd()} is in no DVC project: go to one, or make one with `dvc init`."
        )
    chosen = settings_of.for_project(root)
    state = capture(root, settings=replace(chosen, disable=False))
    assert state is not None
    tags = to_tags(with_committed(state), chosen.max_path_tags)
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
        verb = "differs from" if state.status == "modified" else "lacks some of"
        problems.append(
            f"The workspace {verb} what the metafiles say: `dvc status` tells where; `dvc commit` "
            "or `dvc checkout` mends it."
        )
    problems += _stored(root, [e for e in state.entries if e.cached and e.hash])
    return Readiness(state, tags, problems)


def _registered() -> bool:
    group = entry_points(group="mlflow.run_context_provider")
    return any(point.value == "mlflow_dvc_plugin.provider:DvcRunContext" for point in group)


def _stored(root: str, entries: list[Entry]) -> list[str]:
    """Is the data in the cache, and in a remote?"""
    if not entries:
        return []
    objs = {Obj(e.hash_name, str(e.hash)): e.path for e in entries if e.kind == "plain"}
    dvc = DvcProject(root)
    try:
        lacking = sorted(objs[obj] for obj in objs if not os.path.exists(dvc.cache.path(obj)))
        problems = []
        if lacking:
            problems.append(f"Not in the DVC cache: {_listed(lacking)}; `dvc fetch` brings it.")
        if not dvc.remotes.has_default():
            problems.append(
                "There is no default DVC remote: a lost cache would be lost for good. Add one "
                "with `dvc remote add -d NAME URL`, then `dvc push`."
            )
            return problems
        try:
            pushed = dvc.remotes.present(objs)
        except DvcError as err:
            return [*problems, f"The DVC remote cannot be asked: {err}"]
        unpushed = sorted(objs[obj] for obj in objs if obj not in pushed)
        if unpushed:
            problems.append(f"Not in the DVC remote: {_listed(unpushed)}; `dvc push` sends it.")
        return problems
    finally:
        dvc.close()


def _listed(paths: list[str]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
