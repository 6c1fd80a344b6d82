"""Which project a process works on, and where its Git repository stands."""

from __future__ import annotations

import os
import re
import sys

from mlflow_dvc_plugin.errors import SettingsError
from mlflow_dvc_plugin.settings import PREFIX, Settings, from_environment

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MAX_SYMREFS = 5


def find_project(
    path: str | os.PathLike[str] | None = None, settings: Settings | None = None
) -> str | None:
    """The DVC project that a process works on.

    Args:
        path: look at or above this folder only.
        settings: the environment's by default.

    Returns:
        The project's absolute path; None outside any.

    Raises:
        SettingsError: ``MLFLOW_DVC_ROOT`` names a folder that is no project.
    """
    if path is not None:
        return _at_or_above(os.path.abspath(path))
    root = (settings or from_environment()).root
    if root is not None:
        project = os.path.abspath(os.path.expanduser(root))
        if not os.path.isdir(os.path.join(project, ".dvc")):
            raise SettingsError(f"{PREFIX}ROOT", root, "the folder of a DVC project")
        return project
    try:
        found = _at_or_above(os.getcwd())
    except OSError:  # the working directory is gone
        found = None
    if found is None:
        script = getattr(sys.modules.get("__main__"), "__file__", None)
        if isinstance(script, str):
            found = _at_or_above(os.path.dirname(os.path.abspath(script)))
    return found


def _at_or_above(folder: str) -> str | None:
    while True:
        if os.path.isdir(os.path.join(folder, ".dvc")):
            return folder
        parent = os.path.dirname(folder)
        # DVC, too, does not look beyond a mount point.
        if parent == folder or os.path.ismount(folder):
            return None
        folder = parent


def find_git(project: str) -> tuple[str, str] | None:
    """The Git work tree that holds a project, and its ``.git`` directory; None without."""
    folder = project
    while True:
        git_dir = _git_dir(folder)
        if git_dir is not None:
            return folder, git_dir
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _git_dir(folder: str) -> str | None:
    path = os.path.join(folder, ".git")
    if os.path.isfile(path):  # a linked work tree, or a submodule
        pointer = _line(path)
        if not pointer.startswith("gitdir:"):
            return None
        path = os.path.normpath(os.path.join(folder, pointer[len("gitdir:") :].strip()))
    return path if os.path.isfile(os.path.join(path, "HEAD")) else None


def common_dir(git_dir: str) -> str:
    """The directory that linked work trees share."""
    pointer = _line(os.path.join(git_dir, "commondir"))
    return os.path.normpath(os.path.join(git_dir, pointer)) if pointer else git_dir


def head_commit(git_dir: str) -> str | None:
    """The commit that HEAD points to; None before the first."""
    value = _line(os.path.join(git_dir, "HEAD"))
    for _ in range(_MAX_SYMREFS):
        if not value.startswith("ref:"):
            break
        ref = value[len("ref:") :].strip()
        if ref == "refs/heads/.invalid":  # what the reftable format writes there
            return _asked_commit(git_dir)
        if os.path.isabs(ref) or ".." in ref.split("/"):
            return None
        value = _line(os.path.join(git_dir, ref)) or _shared_ref(git_dir, ref)
    return value if _COMMIT.fullmatch(value) else None


def _asked_commit(git_dir: str) -> str | None:
    import subprocess

    try:
        done = subprocess.run(
            ["git", "--git-dir", git_dir, "rev-parse", "--verify", "-q", "HEAD^{commit}"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    value = done.stdout.strip()
    return value if _COMMIT.fullmatch(value) else None


def _shared_ref(git_dir: str, ref: str) -> str:
    common = common_dir(git_dir)
    value = _line(os.path.join(common, ref))
    if value:
        return value
    try:
        with open(os.path.join(common, "packed-refs"), encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.rstrip("\n").endswith(f" {ref}") and not line.startswith("#"):
                    return line.split(" ", 1)[0]
    except OSError:
        pass
    return ""


def _line(path: str) -> str:
    try:
        # No file object: this is done at every capture.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            data = os.read(fd, 4096)
        finally:
            os.close(fd)
    except OSError:
        return ""
    return data.partition(b"\n")[0].decode("utf-8", "replace").strip()
