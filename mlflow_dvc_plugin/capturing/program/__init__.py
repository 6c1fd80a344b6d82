"""What a run runs: its command, and code that was not committed."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.capturing.program.code import CodeLook
from mlflow_dvc_plugin.capturing.program.command import read_command
from mlflow_dvc_plugin.git import find_git, read_head
from mlflow_dvc_plugin.state.program import Program

if TYPE_CHECKING:
    from mlflow_dvc_plugin.settings import Settings


class ProgramLook:
    """A look at what this process runs, which goes on while the data state is read.

    Args:
        project: absolute path of the project.
        settings: their `status_budget_ms` is how long to wait for Git.
    """

    def __init__(self, project: str, settings: Settings) -> None:
        self._project = project
        self._seconds = settings.status_budget_ms / 1000
        git = find_git(project)
        self._top = git[0] if git else None
        self._code: CodeLook | None = None
        # DVC makes a commit of an experiment, with all changes of the code.
        if git and self._seconds and "DVC_EXP_NAME" not in os.environ:
            commit = read_head(git[1])
            self._code = CodeLook(git[0], commit) if commit else None

    def finish(self, list_outs: Callable[[], Collection[str]]) -> Program | None:
        """The program; None without a Git repository.

        Args:
            list_outs: gives the paths of all outs, relative to the project, if they matter.
        """
        if self._top is None:
            return None
        program = Program()
        # The command of a stage is in the commit's dvc.yaml.
        if "DVC_STAGE" not in os.environ:
            program = read_command(self._project, self._top)
        program = program._replace(python=platform.python_version())
        if self._code is None:
            return program
        prefix = os.path.relpath(self._project, self._top).replace(os.sep, "/")
        code = self._code.finish(self._seconds, lambda: _add_prefix(prefix, list_outs()))
        return program._replace(code=code.status, diff=code.diff)

    def cancel(self) -> None:
        """End the look if nobody wants its result."""
        if self._code is not None:
            self._code.cancel()


def _add_prefix(prefix: str, paths: Collection[str]) -> Collection[str]:
    return paths if prefix == "." else {f"{prefix}/{path}" for path in paths}
