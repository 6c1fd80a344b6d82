"""Which project runs that start here belong to and why, and which settings apply."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.errors import SettingsError
from mlflow_dvc_plugin.git import find_git
from mlflow_dvc_plugin.settings import PREFIX, Settings, list_sources

# Variables that are no settings: `rerun` sets one for the process that it starts.
_OTHER_VARIABLES = ("MLFLOW_DVC_RERUN_OF",)


@dataclass(frozen=True)
class Setting:
    """A setting, with its value as it is written in its source."""

    name: str
    value: object
    source: str
    problem: str = ""


@dataclass(frozen=True)
class Project:
    """The project that runs which start here belong to.

    Attributes:
        root: its folder; None outside any project.
        reason: why it is this one, or why it is none.
        git: the top of its Git repository; None without Git.
        settings: all settings, and where each comes from.
        unknown: variables that look like settings but are none.
    """

    root: str | None
    reason: str
    git: str | None
    settings: tuple[Setting, ...]
    unknown: tuple[str, ...]

    @property
    def has_state(self) -> bool:
        """An exported file says what the data of runs is."""
        return any(each.name == f"{PREFIX}STATE" and each.value for each in self.settings)

    def find_problems(self) -> list[str]:
        """What keeps runs from being tagged, a sentence each."""
        problems = [
            f"{each.problem} Correct it in {_PLACES[each.source]}."
            for each in self.settings
            if each.problem
        ]
        if self.root is None and not self.has_state:
            problems.append(
                f"{self.reason} Runs that start here get no tags. Change to a project, create one "
                f"with `dvc init`, or name one in {PREFIX}ROOT."
            )
        return problems

    def find_remarks(self) -> list[str]:
        """What is worth knowing, a sentence each."""
        names = [each.name for each in self.settings]
        remarks = []
        for name in self.unknown:
            near = get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            remarks.append(f"The variable {name} is not a setting, and has no effect.{hint}")
        return remarks


_PLACES = {"environment": "the environment", "pyproject.toml": "pyproject.toml", "default": ""}


def examine_project() -> Project:
    """Find the project and the settings, also where some of them cannot be used."""
    root, reason = _find_root()
    settings = tuple(Setting(*each) for each in list_sources(root))
    names = {each.name for each in settings}
    unknown = {name for name in os.environ if name.startswith(PREFIX)} - names
    git = find_git(root) if root else None
    return Project(
        root=root,
        reason=reason,
        git=git[0] if git else None,
        settings=settings,
        unknown=tuple(sorted(unknown - {*_OTHER_VARIABLES})),
    )


def _find_root() -> tuple[str | None, str]:
    """The project of a run that starts here, and why it is that."""
    named = os.environ.get(f"{PREFIX}ROOT")
    try:
        root = find_project(settings=Settings(root=named or None))
    except SettingsError as err:
        return None, str(err)
    try:
        folder = os.getcwd()
    except OSError:
        folder = "the working directory, which is gone,"
    if named:
        return root, f"{PREFIX}ROOT names it"
    if root is None:
        return None, f"{folder} is in no DVC project."
    if os.path.realpath(folder) == os.path.realpath(root):
        return root, "the working directory"
    if find_project(folder) == root:
        return root, "the nearest one above the working directory"
    script = os.path.abspath(str(getattr(sys.modules["__main__"], "__file__", "")))
    return root, f"the working directory is in no project, and the script {script} is in this one"
