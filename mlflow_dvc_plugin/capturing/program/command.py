"""The command of this process, as another person can run it in a clone of the project."""

from __future__ import annotations

import os
import sys
from functools import lru_cache

from mlflow_dvc_plugin.state.program import Program

_MAX_LENGTH = 2_000  # characters of all arguments
# Options of the interpreter that take the next argument.
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
# Programs that run the code of a user, of which the command says nothing.
_WORKERS = ("ipykernel", "loky", "multiprocessing", "forkserver", "pyspark", "pydevd", "debugpy")
# Whatever `secrets` masks has one of these in it.
_HINTS = (
    *("pass", "pwd", "secret", "token", "key", "cred", "auth", "bearer", "conn", "dsn", "sig"),
    *("://", "akia", "gh", "glpat-", "hf_", "sk-", "xox", "dapi", "aiza", "eyj"),
)
# The processes of a distributed job start each other.
_RANKS = ("RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "RAY_JOB_ID")


def read_command(project: str, top: str) -> Program:
    """Read the command of this process; its arguments are empty if it cannot be told.

    Args:
        project: absolute path of the project.
        top: absolute path of the Git work tree, in which the command must run.
    """
    try:
        folder = os.path.realpath(os.getcwd())
    except OSError:  # the working directory was deleted
        return Program()
    if any(name in os.environ for name in _RANKS):
        return Program()
    return _read_command(project, top, folder)


@lru_cache(maxsize=2)
def _read_command(project: str, top: str, folder: str) -> Program:
    tops = {os.path.abspath(top), os.path.realpath(top)}
    args = _find_args(os.path.realpath(top))
    if not args or not _is_inside(folder, os.path.realpath(top)):
        return Program()
    args = [_to_relative(arg, tops, folder) for arg in args]
    # What is left leads into this clone, wherever the command runs.
    if any(each in arg for arg in args for each in tops):
        return Program()
    if may_have_secret(args):
        from mlflow_dvc_plugin.capturing.program.secrets import mask_secrets

        args = mask_secrets(args)
    if sum(map(len, args)) > _MAX_LENGTH:
        return Program()
    inside = os.path.relpath(folder, os.path.realpath(project)).replace(os.sep, "/")
    return Program(tuple(args), inside)


def _find_args(top: str) -> list[str]:
    """The command of this process, if a person or a script can have typed it."""
    args = list(sys.orig_argv)
    if len(args) < 2 or any(name in arg for arg in args for name in _WORKERS):
        return []
    if "ipykernel" in sys.modules or "\0" in "".join(args):
        return []
    at = 1
    while at < len(args) and args[at].startswith("-") and args[at] not in ("-", "-c", "-m"):
        at += 2 if args[at] in _WITH_VALUE else 1
    if at == len(args) or args[at] == "-":  # nobody knows what was typed, or piped into it
        return []
    script = args[at]
    if script not in ("-c", "-m"):
        path = os.path.realpath(script)
        if not os.path.isfile(path):
            return []
        if not _is_inside(path, top) or _is_installed(path):
            # The script of an installed package, such as `accelerate`, has no path of interest.
            return [os.path.basename(path), *args[at + 1 :]] if _is_installed(path) else []
    return ["python", *args[1:]]


def _is_installed(path: str) -> bool:
    return os.path.dirname(path) == os.path.join(os.path.realpath(sys.prefix), "bin")


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _to_relative(arg: str, tops: set[str], folder: str) -> str:
    """An argument that names a file of the clone, relative to the working directory.

    Links stay as they are: DVC may have linked a file to its cache.
    """
    name, mark, value = arg.rpartition("=")
    path = os.path.normpath(value) if os.path.isabs(value) else ""
    for top in tops:
        if _is_inside(path, top):
            real = os.path.join(os.path.realpath(top), os.path.relpath(path, top))
            return name + mark + os.path.relpath(real, folder)
    return arg


def may_have_secret(args: list[str]) -> bool:
    """Is it worth to look for a secret? Most commands have none, and need no expressions for it."""
    text = "\n".join(args).lower()
    return any(hint in text for hint in _HINTS)
