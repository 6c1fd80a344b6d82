"""A project's Git repository: what Git reports of it, and its HEAD, read from ``.git``.

Capture only reads files in ``.git``. It starts Git only where the refs are in the
reftable format.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence

from mlflow_dvc_plugin.errors import GitError, NoGitError

_COMMIT_LENGTHS = (40, 64)  # with SHA-1 and with SHA-256
_MAX_SYMREFS = 5


def run_git(
    cwd: str,
    *args: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    codes: Collection[int] = (0,),
) -> bytes:
    """Run Git in `cwd`, with the additional variables `env`, and return what it prints.

    An exit code that is not among `codes` is a GitError.

    The process's own ``GIT_*`` variables do not apply (a hook sets some), and no
    hooks run: ``dvc install`` sets one that would check out data.
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
        raise GitError(f"Git cannot run ({err.strerror}). Install Git first.") from err
    if done.returncode not in codes:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        if any("not a git repository" in line for line in lines):
            raise NoGitError(f"{cwd} is in no Git repository, but this needs one.")
        raise GitError(f"git {args[0]}: {lines[0] if lines else f'exit {done.returncode}'}")
    return done.stdout


def resolve_commit(project: str, rev: str) -> str:
    """The full hash of the commit that `rev` names; a GitError if there is none."""
    try:
        out = run_git(
            project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}"
        )
    except NoGitError:
        raise
    except GitError as err:
        raise GitError(
            f"This Git repository has no commit {rev!r}. Fetch it first (`git fetch`)."
        ) from err
    return out.decode().strip()


def is_commit(text: str) -> bool:
    """Is the text a full commit hash, and so neither a branch nor an option?"""
    return len(text) in _COMMIT_LENGTHS and not text.strip("0123456789abcdef")


def find_prefix(project: str) -> str:
    """The project's folder in its Git repository, ending in a slash; empty at the top."""
    return os.fsdecode(run_git(project, "rev-parse", "--show-prefix")).rstrip("\n")


def find_ignored(
    project: str, paths: Sequence[str], without: Collection[tuple[str, str]] = ()
) -> set[str]:
    """Find those of the paths that Git ignores; none outside a repository.

    The pairs in `without`, of a ``.gitignore`` and a pattern in it, do not count.
    """
    if not paths:
        return set()
    stdin = b"".join(os.fsencode(f"./{path}") + b"\0" for path in paths)
    try:
        out = run_git(project, "check-ignore", "-v", "-z", "--no-index", "--stdin", stdin=stdin)
    except GitError:
        # It exits with 1 if Git ignores none of them.
        return set()
    prefix = find_prefix(project) if without else ""
    fields = [os.fsdecode(field) for field in out.split(b"\0")]
    return {
        path.removeprefix("./")
        for source, _, pattern, path in zip(*(fields[start::4] for start in range(4)), strict=False)
        if (source.removeprefix(prefix), pattern) not in without and not pattern.startswith("!")
    }


def read_blob(project: str, commit: str, path: str) -> bytes | None:
    """Read a file of a commit, by path in the project; None if the commit has no such file."""
    if not is_commit(commit):
        return None
    try:
        return run_git(project, "cat-file", "blob", f"{commit}:./{path}")
    except GitError:
        return None


def is_in_commit(project: str, commit: str, path: str, data: bytes) -> bool:
    """Does a commit have a file with this content, except for line ends that Git converts?"""
    if not is_commit(commit):
        return False
    try:
        known = run_git(project, "rev-parse", "--verify", "--quiet", f"{commit}:./{path}")
        return run_git(project, "hash-object", "--stdin", f"--path={path}", stdin=data) == known
    except GitError:
        return False


def find_git(project: str) -> tuple[str, str] | None:
    """Find a project's Git work tree and its ``.git`` directory; None without Git."""
    folder = project
    while True:
        git_dir = _find_git_dir(folder)
        if git_dir is not None:
            return folder, git_dir
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _find_git_dir(folder: str) -> str | None:
    path = os.path.join(folder, ".git")
    if os.path.isfile(path):  # a linked work tree, or a submodule
        pointer = _read_line(path)
        if not pointer.startswith("gitdir:"):
            return None
        path = os.path.normpath(os.path.join(folder, pointer[len("gitdir:") :].strip()))
    return path if os.path.isfile(f"{path}/HEAD") else None


def read_head(git_dir: str) -> str | None:
    """Read the commit that HEAD points to; None before the first commit."""
    value = _read_line(f"{git_dir}/HEAD")
    for _ in range(_MAX_SYMREFS):
        if not value.startswith("ref:"):
            break
        ref = value[len("ref:") :].strip()
        if ref == "refs/heads/.invalid":  # the reftable format writes this
            return _ask_git_for_head(git_dir)
        if os.path.isabs(ref) or ".." in ref.split("/"):
            return None
        value = _read_line(f"{git_dir}/{ref}") or _read_shared_ref(git_dir, ref)
    return value if is_commit(value) else None


def _ask_git_for_head(git_dir: str) -> str | None:
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


def _read_shared_ref(git_dir: str, ref: str) -> str:
    # Linked work trees share a `.git` directory.
    common = os.path.normpath(os.path.join(git_dir, _read_line(os.path.join(git_dir, "commondir"))))
    value = _read_line(os.path.join(common, ref))
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


def _read_line(path: str) -> str:
    try:
        # Without a file object, because every capture does this.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            data = os.read(fd, 4096)
        finally:
            os.close(fd)
    except OSError:
        return ""
    return data.partition(b"\n")[0].decode("utf-8", "replace").strip()
