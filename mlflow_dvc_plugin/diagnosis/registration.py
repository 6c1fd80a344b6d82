"""Is the plugin registered: in this environment, and in the one where the project is trained?"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import entry_points

from mlflow_dvc_plugin.environments import PLUGIN, find_other_environment
from mlflow_dvc_plugin.tracking.registration import explain_missing_provider

PROVIDERS = "mlflow.run_context_provider"
# Entry points that pip writes, by group.
ENTRY_POINTS = {
    PROVIDERS: "dvc",
    "mlflow.dataset_source": "dvc",
    "mlflow.dataset_constructor": "from_dvc",
    "mlflow.artifact_repository": "mlflow-dvc",
    "fsspec.specs": "mlflow-dvc",
}


@dataclass(frozen=True)
class Registration:
    """How the plugin is registered.

    Attributes:
        environment: the folder of this Python environment.
        reason: why MLflow did not load the plugin; empty if it did.
        absent: the groups of entry points in which the plugin is not.
        other: the folder of another environment, in which the project is trained; None if
            it is trained in this one.
        other_plugin: the version of the plugin there; None without it.
    """

    environment: str
    reason: str
    absent: tuple[str, ...]
    other: str | None
    other_plugin: str | None

    def find_problems(self) -> list[str]:
        """What keeps runs from being tagged, a sentence each."""
        # That it is not registered at all is found by the same code as for `status`.
        if not self.reason or PROVIDERS in self.absent:
            return []
        problem = (
            f"MLflow did not load the plugin: {self.reason}. Run "
            "`pip install --force-reinstall --no-deps mlflow-dvc-plugin` in this environment."
        )
        return [problem]

    def find_remarks(self) -> list[str]:
        """What is worth knowing, a sentence each."""
        if not self.absent or self.reason:
            return []
        remark = (
            f"The entry points {', '.join(self.absent)} are those of another release of the "
            "plugin. Install it again with pip."
        )
        return [remark]


def examine_registration(project: str | None) -> Registration:
    """Find out how the plugin is registered, and import MLflow for that."""
    absent = tuple(
        group
        for group, name in ENTRY_POINTS.items()
        if not any(
            each.value.startswith("mlflow_dvc_plugin.")
            for each in entry_points(group=group, name=name)
        )
    )
    other = find_other_environment(project) if project else None
    return Registration(
        environment=sys.prefix,
        reason=explain_missing_provider(),
        absent=absent,
        other=other and other.prefix,
        other_plugin=other and other.find_version(PLUGIN),
    )
