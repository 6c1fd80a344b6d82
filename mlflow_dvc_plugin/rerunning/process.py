"""The process that runs a stage again, and the environment that it gets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from mlflow_dvc_plugin.errors import RerunError
from mlflow_dvc_plugin.system_calls import end_session

# What a user's DVC needs; all other variables of DVC's say in which stage or experiment we are.
_KEPT = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_NO_ANALYTICS")
_REMOVED_PREFIXES = ("DVC_", "GIT_")
# What would make another run of it, or another data state.
_REMOVED = (
    *("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_DVC_DISABLE", "MLFLOW_DVC_ROOT"),
    *("MLFLOW_DVC_STATE", "MLFLOW_DVC_SAVE"),
)
_GRACE = 10  # seconds for a process that is asked to end


def build_environment(
    environ: Mapping[str, str], run_id: str, store: str, experiment_id: str
) -> dict[str, str]:
    """The environment in which the new run gets the experiment and names the old run."""
    env = {
        name: value
        for name, value in environ.items()
        if name in _KEPT or not (name.startswith(_REMOVED_PREFIXES) or name in _REMOVED)
    }
    return env | {
        "MLFLOW_TRACKING_URI": store,
        "MLFLOW_EXPERIMENT_ID": experiment_id,
        "MLFLOW_DVC_RERUN_OF": run_id,
    }


def find_code_paths(environ: Mapping[str, str], old: str, new: str) -> list[str]:
    """The folders of the worktree from which Python would import in the repository.

    A project that is installed in place (``pip install -e``) would otherwise be imported
    as it is now.

    Args:
        environ: its ``PYTHONPATH`` counts, beside the path of this interpreter.
        old: the top of the repository.
        new: the top of the worktree.
    """
    found = []
    for path in [*environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path[1:]]:
        inside = os.path.relpath(path, old) if os.path.isabs(path) else ".."
        copy = os.path.join(new, inside)
        if inside.split(os.sep)[0] != os.pardir and os.path.isdir(copy):
            found.append(os.path.normpath(copy))
    return list(dict.fromkeys(found))


def run_stage(
    folder: str, address: str, environ: Mapping[str, str], with_upstream: bool = False
) -> int:
    """Run a stage in the project at `folder`; its exit code. What it prints goes to stderr.

    Nothing is added to DVC's cache. An interrupt ends everything that it started.
    With `with_upstream`, the stages run first on which it depends.
    """
    options = ["--force", "--no-commit", "--no-run-cache"]
    options += [] if with_upstream else ["--single-item"]
    return run_process(
        [sys.executable, "-m", "dvc", "repro", *options, "--", address], folder, environ
    )


def run_command(folder: str, command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a command as :func:`run_stage` runs a stage; a RerunError if it cannot start.

    ``python`` is the interpreter of the environment that is active, else this one. A program
    that is named by a relative path, and is not among the run's code, is found from the
    working directory: the interpreter of an environment in the project.
    """
    program = command[0]
    if program == "python":
        program = find_interpreter(environ)
    elif os.sep in program and not os.path.exists(os.path.join(folder, program)):
        program = os.path.abspath(program)
    try:
        return run_process([program, *command[1:]], folder, environ)
    except OSError as err:
        raise RerunError(f"{command[0]} cannot run: {err.strerror}.") from err


def find_interpreter(environ: Mapping[str, str]) -> str:
    """The interpreter of the virtual environment that is active, else this one."""
    folder = environ.get("VIRTUAL_ENV")
    path = os.path.join(folder, "bin", "python") if folder else ""
    return path if os.path.isfile(path) else sys.executable


def run_process(command: Sequence[str], folder: str, environ: Mapping[str, str]) -> int:
    """Run a process, and end all that it started if this one is interrupted; its exit code."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=2,
        start_new_session=True,
    )
    try:
        return process.wait()
    except BaseException:
        end_session(process, _GRACE)  # DVC itself ignores interrupts while a stage runs
        raise
