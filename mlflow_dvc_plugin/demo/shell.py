"""The commands of the demo, run without the user's own settings."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlflow_dvc_plugin.errors import MlflowDvcError

TRACKING_URI = "sqlite:///mlflow.db"

# Variables that would point the commands to a repository, server or experiment of the user.
REMOVED_PREFIXES = ("DVC_", "GIT_", "MLFLOW_", "FORCE_COLOR")
GIT_OPTIONS = {
    "user.name": "mlflow-dvc demo",
    "user.email": "demo@example.com",
    "init.defaultBranch": "main",
    "commit.gpgSign": "false",
    "core.hooksPath": os.devnull,
}
LAST_LINES = 15


class DemoError(MlflowDvcError):
    """The demo cannot start, one of its steps failed, or the restored data differs."""


@dataclass(frozen=True)
class Shell:
    """Runs commands in one folder. It echoes each command, and the output of a failed one."""

    folder: str
    env: Mapping[str, str]
    echo: Callable[[str], None]

    def git(self, *args: str) -> None:
        """Run Git as the demo's own user."""
        options = [part for item in GIT_OPTIONS.items() for part in ("-c", "=".join(item))]
        self._run(("git", *args), ["git", *options, *args])

    def dvc(self, *args: str, show: bool = False) -> None:
        """Run this interpreter's DVC; with `show`, print its output."""
        self._run(("dvc", *args), [sys.executable, "-m", "dvc", *args], show)

    def mlflow_dvc(self, *args: str) -> None:
        """Run this package's command line, and print its output."""
        command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", *args]
        self._run(("mlflow-dvc", *args), command, show=True)

    def _run(self, typed: tuple[str, ...], command: list[str], show: bool = False) -> None:
        self.echo(f"     $ {shlex.join(typed)}")
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        lines = done.stdout.rstrip().splitlines()
        if not show:
            lines = lines[-LAST_LINES:] if done.returncode else []
        for line in lines:
            self.echo(f"       {line}".rstrip())
        if done.returncode:
            raise DemoError(
                f"`{shlex.join(typed)}` exited with {done.returncode} in {self.folder}. Its last "
                "lines are above. Fix what they name, and run the demo in a new folder."
            )


def build_environment(tools: str) -> dict[str, str]:
    """The environment for the demo's commands, which use the folder `tools` until they end."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name == "DVC_SITE_CACHE_DIR" or not name.startswith(REMOVED_PREFIXES)
    }
    with open(os.path.join(tools, "config"), "w", encoding="utf-8") as config:
        config.write("[core]\n    analytics = false\n    check_update = false\n")
    return env | {
        "DVC_GLOBAL_CONFIG_DIR": tools,
        "DVC_SYSTEM_CONFIG_DIR": tools,
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "MLFLOW_TRACKING_URI": TRACKING_URI,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "NO_COLOR": "1",
        "PATH": os.pathsep.join([_find_python(tools), os.environ.get("PATH", os.defpath)]),
        "PYTHONIOENCODING": "utf-8",
        "SHELL": "/bin/sh",  # DVC runs a stage's command with it
    }


def _find_python(tools: str) -> str:
    """A folder in which ``python`` is this interpreter: some systems have only ``python3``."""
    folder = os.path.dirname(sys.executable)
    if shutil.which("python", path=folder):
        return folder
    script = os.path.join(tools, "python")
    with open(script, "w", encoding="utf-8") as out:
        out.write(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    os.chmod(script, 0o700)
    return tools
