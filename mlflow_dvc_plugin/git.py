"""A project's Git repository: what it holds, asked of Git, and its HEAD, read from ``.git``.

Capture only reads files of ``.git`` and starts no process, except where Git keeps its refs
in the reftable format.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Mapping, Sequence

from mlflow_dvc_plugin.errors import GitError, NoGitError

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_MAX_SYMREFS = 5


def git(cwd: str, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
    """Run Git in `cwd`, with the variables `env` besides; what it printed.

    The caller's own ``GIT_*`` variables (a hook sets some) do not apply, and no
    hooks run: ``dvc install`` sets one that would check data out.

    Raises:
        GitError: Git is missing or failed.
    """
    environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environ.update(GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", LC_ALL="C")
    environ.update(env or {})
    try:
        done = subprocess.run(
            ["git", "-c", f"core.hooksPath={os.devnull}", *args],
            cwd=cwd,
            env=environ,
            input=stdin,
            capture_output=True,
            check=False,
        )
    except OSError as err:
        raise GitError(f"Git cannot be run ({err.strerror}): install it first.") from err
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        if any("not a git repository" in line for line in lines):
            raise NoGitError(f"{cwd} is in no Git repository: this needs one.")
        raise GitError(f"git {args[0]}: {lines[0] if lines else f'exit {done.returncode}'}")
    return done.stdout


def resolve(project: str, rev: str) -> str:
    """The full hash of the commit that `rev` names.

    Raises:
        GitError: there is no such commit here.
    """
    try:
        out = git(
            project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}"
        )
    except NoGitError:
        raise
    except GitError as err:
        raise GitError(f"Git has no commit {rev!r} here: fetch it first.") from err
    return out.decode().strip()


def is_commit(text: str) -> bool:
    """The text is a full commit hash: no branch, no option."""
    return _COMMIT.match(text) is not None


def prefix_of(project: str) -> str:
    """The project's folder in its Git repository, with a slash at the end; empty at the top."""
    return os.fsdecode(git(project, "rev-parse", "--show-prefix")).rstrip("\n")


def ignored(
    project: str, paths: Sequence[str], without: Collection[tuple[str, str]] = ()
) -> set[str]:
    """Those of the paths that Git ignores; none outside a repository.

    Args:
        project: absolute path of the project.
        paths: relative to the project.
        without: patterns that do not count, each with its ``.gitignore`` file,
            relative to the project.
    """
    if not paths:
        return set()
    stdin = b"".join(os.fsencode(f"./{path}") + b"\0" for path in paths)
    try:
        out = git(project, "check-ignore", "-v", "-z", "--no-index", "--stdin", stdin=stdin)
    except GitError:
        # It exits with 1 if it ignores none of them.
        return set()
    prefix = prefix_of(project) if without else ""
    fields = [os.fsdecode(field) for field in out.split(b"\0")]
    return {
        path.removeprefix("./")
        for source, _, pattern, path in zip(*(fields[start::4] for start in range(4)), strict=False)
        if (source.removeprefix(prefix), pattern) not in without and not pattern.startswith("!")
    }


def blob(project: str, commit: str, path: str) -> bytes | None:
    """The bytes of a file at a commit; None if the commit has no such file.

    Args:
        project: absolute path of the project.
        commit: a full commit hash.
        path: relative to the project.
    """
    if not is_commit(commit):
        return None
    try:
        return git(project, "cat-file", "blob", f"{commit}:./{path}")
    except GitError:
        return None


def is_committed(project: str, commit: str, path: str, data: bytes) -> bool:
    """A commit has a file just so, line ends aside where Git converts them.

    Args:
        project: absolute path of the project.
        commit: a full commit hash.
        path: of the file, relative to the project.
        data: what the workspace has.
    """
    if not is_commit(commit):
        return False
    try:
        known = git(project, "rev-parse", "--verify", "--quiet", f"{commit}:./{path}")
        return git(project, "hash-object", "--stdin", f"--path={path}", stdin=data) == known
    except GitError:
        return False


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
    return value if is_commit(value) else None


def _asked_commit(git_dir: str) -> str | None:
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
    return value if is_commit(value) else None


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
