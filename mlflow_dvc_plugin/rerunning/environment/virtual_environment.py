"""A virtual environment, made from what is recorded with a run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence

from mlflow_dvc_plugin.environments import MLFLOW, PLUGIN
from mlflow_dvc_plugin.errors import RerunError
from mlflow_dvc_plugin.rerunning.environment.installation import UV_LOCK, Installation
from mlflow_dvc_plugin.rerunning.environment.interpreter import (
    Interpreter,
    ask_interpreter,
    find_python,
    is_python,
)
from mlflow_dvc_plugin.rerunning.environment.plugin_copy import copy_plugin
from mlflow_dvc_plugin.rerunning.environment.record import PYPROJECT
from mlflow_dvc_plugin.rerunning.process import run_process

_OLDEST_PYTHON = (3, 10)  # that the plugin supports
# What would make another Python or pip see packages that are not in the environment.
_REMOVED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX")


def make_environment(
    installation: Installation, project: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Make an environment in a worktree's project; the variables that activate it.

    It is in the project's ``.dvc/tmp``, so Git and DVC do not see it.

    Args:
        installation: what to install.
        project: the absolute path of the project in the worktree.
        environ: the variables of the stage.

    Raises:
        RerunError: it cannot be made, or does not have MLflow.
    """
    folder = os.path.join(project, ".dvc", "tmp", "environment")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    env = {name: value for name, value in environ.items() if name not in _REMOVED}
    installer = _Installer(installation, project, folder, env)
    installer.install_recorded()
    interpreter = _check(ask_interpreter(installer.python, env), installation)
    if PLUGIN not in interpreter.packages:
        installer.install_packages(copy_plugin(interpreter.site_packages))
    path = os.pathsep.join([os.path.dirname(installer.python), env.get("PATH", os.defpath)])
    kept = {name: environ[name] for name in ("PYTHONPATH",) if name in environ}
    return env | kept | {"PATH": path, "VIRTUAL_ENV": folder}


def use_environment(command: Sequence[str]) -> list[str]:
    """A command that finds its Python on PATH, even if it names that of another environment."""
    name = os.path.basename(command[0])
    return [name if is_python(name) else command[0], *command[1:]]


def _check(interpreter: Interpreter | None, installation: Installation) -> Interpreter:
    if interpreter is None or not interpreter.packages.keys() & {*MLFLOW}:
        raise RerunError(
            f"{installation.file} in {installation.record.origin} does not install MLflow, so "
            "the rerun could not log a run. Make the environment yourself, activate it, and "
            "leave --env out."
        )
    version = tuple(map(int, interpreter.version.split(".")[:2]))
    if version < _OLDEST_PYTHON and PLUGIN not in interpreter.packages:
        raise RerunError(
            f"The environment has Python {interpreter.version}, but {PLUGIN} needs Python "
            f"{'.'.join(map(str, _OLDEST_PYTHON))} or newer."
        )
    return interpreter


class _Installer:
    """Makes an environment with uv, or without it with venv and pip."""

    def __init__(
        self, installation: Installation, project: str, folder: str, env: Mapping[str, str]
    ) -> None:
        self.python = os.path.join(folder, "bin", "python")
        self._installation, self._project = installation, project
        self._folder, self._env = folder, env
        # The recorded version, such as 3.11; empty if it is not recorded.
        self._python = ".".join((installation.record.python or "").split(".")[:2])
        self._uv = shutil.which("uv", path=env.get("PATH"))

    def install_recorded(self) -> None:
        """Make the environment with the recorded packages."""
        files = self._installation.record.files
        if self._installation.file == UV_LOCK:
            self._sync(files)
            return
        self._make_empty()
        # Paths in it are relative to the project.
        with tempfile.NamedTemporaryFile(
            dir=self._project, prefix=".requirements-", suffix=".txt"
        ) as file:
            file.write(files[self._installation.file])
            file.flush()
            self._install("--requirement", file.name)

    def install_packages(self, requirements: Sequence[str]) -> None:
        """Install packages that are needed, too; nothing happens if they are there."""
        self._install(*requirements)

    def _sync(self, files: Mapping[str, bytes]) -> None:
        if self._uv is None:
            raise RerunError("uv.lock needs uv, which is not on PATH. Install it: pip install uv")
        with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as scratch:
            for name in (PYPROJECT, UV_LOCK):
                with open(os.path.join(scratch, name), "wb") as file:
                    file.write(files[name])
            # The project's own code is in the worktree.
            options = ["--frozen", "--no-install-workspace", "--project", scratch]
            options += ["--python", self._python] if self._python else []
            self._run([self._uv, "sync", *options], UV_PROJECT_ENVIRONMENT=self._folder)

    def _make_empty(self) -> None:
        if self._uv is not None:
            python = self._python or find_python("python", self._project, self._env)
            self._run([self._uv, "venv", "--quiet", "--python", python, self._folder])
        else:
            # The Python that is recorded if it is here, else the one that the stage would find.
            python = find_python(f"python{self._python}", self._project, self._env)
            self._run([python, "-m", "venv", self._folder])

    def _install(self, *what: str) -> None:
        if self._uv is not None:
            self._run([self._uv, "pip", "install", "--python", self.python, *what])
        else:
            self._run([self.python, "-m", "pip", "install", "--progress-bar=off", *what])

    def _run(self, command: Sequence[str], **variables: str) -> None:
        exit_code = run_process(command, self._project, {**self._env, **variables})
        if exit_code:
            raise RerunError(
                f"The environment of {self._installation.file} in "
                f"{self._installation.record.origin} cannot be made: {os.path.basename(command[0])}"
                f" exited with {exit_code}, and printed the reason above."
            )
