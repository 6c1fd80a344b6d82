"""Is a project ready: could a run that starts now be restored one day?"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, entry_points, version

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.capturing.run_start import RunStart, capture_run_start
from mlflow_dvc_plugin.capturing.snapshot import preview_saving
from mlflow_dvc_plugin.environments import PLUGIN, find_other_environment
from mlflow_dvc_plugin.errors import NoProjectError
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.state.tags import MANIFEST

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
    problems = [*find_plugin_problems(found.settings, root), *find_state_problems(found, tags)]
    if root is not None:
        entries = [e for e in state.entries if e.cached and e.hash and e.path not in saves]
        from mlflow_dvc_plugin.lineage.retention.storage_problems import find_storage_problems

        problems += find_storage_problems(root, entries, tracking_uri)
    elif state.entries:
        problems.append(
            "It is not known where the data is stored: run `mlflow-dvc status` in the project."
        )
    return Readiness(state, tags, problems, found.settings.state or "", saves)


def find_plugin_problems(settings: Settings, root: str | None) -> list[str]:
    """What keeps MLflow from asking the plugin for tags, a sentence each."""
    problems = []
    if settings.disable:
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
    ours, theirs = _find_dvc(), other.find_version("dvc")
    if ours and theirs and theirs.split(".")[0] != ours.split(".")[0]:
        problems.append(
            f"DVC {theirs} in {other.prefix} may not read what this mlflow-dvc restores, because "
            f"it uses DVC {ours}: update DVC there, or restore with --out DIR."
        )
    return problems


def _find_dvc() -> str | None:
    """The version of DVC here; None where runs are only tagged."""
    try:
        return version("dvc")
    except PackageNotFoundError:
        return None


def find_state_problems(found: RunStart, tags: Mapping[str, str]) -> list[str]:
    """What keeps a run with this state and these tags from being restored, a sentence each."""
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
