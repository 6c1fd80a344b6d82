"""Code that was not committed when a run started: from the run into a worktree."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from mlflow_dvc_plugin.errors import GitError, RerunError, join_some
from mlflow_dvc_plugin.git import find_prefix, run_git
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.state.entry import find_owner
from mlflow_dvc_plugin.state.tags import CODE_STATUS
from mlflow_dvc_plugin.tracking import Run, read_artifact

_FILE = "dvc/code.diff"
_MAX_BYTES = 1024 * 1024
# What decides which data and which commands there are comes from the commit, and what belongs to
# Git from nobody.
_REFUSED = re.compile(
    r"(?:.*/)?(?:\.\.|\.git|\.gitmodules|\.gitattributes|[^/]*\.dvc|dvc\.(?:lock|yaml))(?:/.*)?\Z",
    re.DOTALL | re.IGNORECASE,
)
# A run records no renamed files: they would bring what is not shown, such as data, into code.
_MOVES = re.compile(rb"^(?:rename|copy) (?:from|to) ", re.MULTILINE)


def find_diff(run: Run, state: DataState) -> bytes:
    """The difference between the code of a run and its commit; empty if there is none.

    Raises:
        RerunError: there was one, but nobody has it.
    """
    status = run.tags.get(CODE_STATUS)
    if status == "modified":
        raise RerunError(
            f"Run {run.run_id} ran code that was not committed and is not recorded, so nobody has "
            "it. Commit code before a run, or keep the difference with MLFLOW_DVC_AUTOLOG=1."
        )
    if status != "saved":
        return b""
    diff = state.program.diff if state.program is not None else b""
    diff = diff or read_artifact(run, _FILE, _MAX_BYTES) or b""
    if not diff:
        raise RerunError(
            f"Run {run.run_id} ran code that was not committed, and {_FILE}, the artifact with the "
            "difference, is missing."
        )
    return diff


def check_diff(diff: bytes, outs: Collection[str]) -> None:
    """Check that a difference changes nothing but code, and so not which data there is.

    Args:
        diff: as :func:`find_diff` found it.
        outs: paths of data from the top of the repository, which it must not change.

    Raises:
        RerunError: it is damaged, or changes what is not code.
    """
    if _MOVES.search(diff):
        raise RerunError(
            "The run's difference to its commit renames or copies files, which no run records. "
            "Nothing was run."
        )
    paths = _list_files(diff)
    refused = [path for path in paths if _REFUSED.match(path) or find_owner(path, outs)]
    if refused or not paths:
        raise RerunError(
            "The run's difference to its commit changes what is not code: "
            f"{join_some(refused, 3) or 'nothing'}. Nothing was run."
        )


def apply_diff(top: str, diff: bytes, *options: str) -> None:
    """Apply a difference to the files at `top`; a RerunError if it does not fit."""
    try:
        run_git(top, "apply", "--whitespace=nowarn", *options, "-", stdin=diff)
    except GitError as err:
        raise RerunError(
            f"The run's difference does not fit its commit: {err} Nothing was run."
        ) from err


def apply_diff_to_copies(root: str, folder: str, diff: bytes) -> None:
    """Apply a difference to those files that are in `folder`, as they are in the project."""
    prefix = find_prefix(root)
    paths = [p.removeprefix(prefix) for p in _list_files(diff) if p.startswith(prefix)]
    found = [path for path in paths if os.path.isfile(os.path.join(folder, path))]
    if found:
        include = [f"--include={_escape(path)}" for path in found]
        apply_diff(folder, diff, f"-p{1 + prefix.count('/')}", *include)


def _list_files(diff: bytes) -> list[str]:
    """The files that a difference changes, by path from the top of the repository."""
    try:
        # In the folder of a repository, Git leaves out what is not below it.
        out = run_git(os.path.abspath(os.sep), "apply", "--numstat", "-z", "-", stdin=diff)
    except GitError as err:
        raise RerunError(f"The run's difference to its commit cannot be read: {err}") from err
    return [os.fsdecode(line.split(b"\t", 2)[-1]) for line in out.split(b"\0") if line]


def _escape(path: str) -> str:
    return re.sub(r"([*?\[\\])", r"\\\1", path)
