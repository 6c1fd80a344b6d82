"""Running a user's commands, undisturbed by the user's own settings."""

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

# A user's own repository, server, experiment, cache or hooks have no part in this.
SCRUBBED = ("DVC_", "GIT_", "MLFLOW_")
GIT_OPTIONS = {
    "user.name": "mlflow-dvc demo",
    "user.email": "demo@example.com",
    "init.defaultBranch": "main",
    "commit.gpgSign": "false",
    "core.hooksPath": os.devnull,
}
LAST_LINES = 15


class DemoError(MlflowDvcError):
    """The demonstration cannot start, a step of it failed, or its proof did."""


@dataclass(frozen=True)
class Shell:
    """Commands in one folder; each is told before it runs, and what it printed if it failed.

    Attributes:
        folder: the working directory, absolute.
        env: the environment of every command.
        say: takes each line that is told.
    """

    folder: str
    env: Mapping[str, str]
    say: Callable[[str], None]

    def git(self, *args: str) -> None:
        """Run Git, with an identity of its own."""
        options = [part for item in GIT_OPTIONS.items() for part in ("-c", "=".join(item))]
        self._run(("git", *args), ["git", *options, *args])

    def dvc(self, *args: str, show: bool = False) -> None:
        """Run this interpreter's DVC; with `show`, tell what it printed."""
        self._run(("dvc", *args), [sys.executable, "-m", "dvc", *args], show)

    def mlflow_dvc(self, *args: str) -> None:
        """Run this package's command line, and tell what it printed."""
        command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", *args]
        self._run(("mlflow-dvc", *args), command, show=True)

    def _run(self, typed: tuple[str, ...], command: list[str], show: bool = False) -> None:
        self.say(f"     $ {shlex.join(typed)}")
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
        if show or done.returncode:
            for line in lines if show else lines[-LAST_LINES:]:
                self.say(f"       {line}".rstrip())
        if done.returncode:
            raise DemoError(
                f"`{shlex.join(typed)}` exited with {done.returncode} in {self.folder}; "
                "its last lines are above. Mend what they name, then run the demo in a new folder."
            )


def environment(tools: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for the demo's commands.

    Args:
        tools: an empty folder that lives as long as the commands do; it gets a
            DVC configuration, and a ``python`` where there is none.
        environ: the environment to start from; the process's own by default.
    """
    environ = os.environ if environ is None else environ
    env = {name: value for name, value in environ.items() if not name.startswith(SCRUBBED)}
    if "DVC_SITE_CACHE_DIR" in environ:
        env["DVC_SITE_CACHE_DIR"] = environ["DVC_SITE_CACHE_DIR"]
    with open(os.path.join(tools, "config"), "w", encoding="utf-8") as config:
        config.write("[core]\n    analytics = false\n    check_update = false\n")
    env |= {
        "DVC_GLOBAL_CONFIG_DIR": tools,
        "DVC_SYSTEM_CONFIG_DIR": tools,
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "MLFLOW_TRACKING_URI": TRACKING_URI,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "NO_COLOR": "1",
        "PATH": os.pathsep.join([_python_folder(tools), environ.get("PATH", os.defpath)]),
        "PYTHONIOENCODING": "utf-8",
        "SHELL": "/bin/sh",  # DVC runs a stage's command with it
    }
    env.pop("FORCE_COLOR", None)
    return env


def _python_folder(tools: str) -> str:
    """A folder in which ``python`` is this interpreter: a system's own has only ``python3``."""
    folder = os.path.dirname(sys.executable)
    if shutil.which("python", path=folder):
        return folder
    script = os.path.join(tools, "python")
    with open(script, "w", encoding="utf-8") as out:
        out.write(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    os.chmod(script, 0o700)
    return tools
