"""Commits and refs that Git gets without a look at the workspace, the index or any branch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping

from mlflow_dvc_plugin.git import find_prefix, run_git


def write_commit(
    project: str,
    base: str | None,
    changes: Mapping[str, bytes | None],
    *,
    message: str,
    seconds: int,
) -> str:
    """Make a commit, and touch neither the workspace nor the index nor any branch.

    Args:
        project: absolute path of the project.
        base: the commit whose files it has besides; None for no others.
        changes: bytes by path relative to the project; None for a file to leave out.
        message: the commit's message.
        seconds: its date, since 1970 (UTC): the same content has the same hash.

    Returns:
        The hash of the commit.

    Raises:
        GitError: Git refused.
    """
    prefix = find_prefix(project)
    gone = "0" * (len(base) if base else 40)
    lines = []
    for path, data in changes.items():
        oid = gone
        if data is not None:
            oid = run_git(project, "hash-object", "-w", "--stdin", stdin=data).decode().strip()
        lines.append(f"{'100644' if data is not None else '0'} {oid}\t{prefix}{path}\0")
    who = {"NAME": "mlflow-dvc", "EMAIL": "mlflow-dvc@localhost", "DATE": f"@{seconds} +0000"}
    env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in
           who.items()}  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        index = {"GIT_INDEX_FILE": os.path.join(folder, "index")}
        if base:
            run_git(project, "read-tree", base, env=index)
        run_git(
            project,
            *("update-index", "-z", "--add", "--remove", "--index-info"),
            stdin=os.fsencode("".join(lines)),
            env=index,
        )
        tree = run_git(project, "write-tree", env=index).decode().strip()
    return run_git(
        project, "commit-tree", tree, "-m", message, *(["-p", base] if base else []), env=env
    ).decode().strip()  # fmt: skip


def read_refs(project: str, prefix: str) -> dict[str, str]:
    """The refs below a prefix, each with the hash that it points to."""
    listed = run_git(project, "for-each-ref", "--format=%(refname) %(objectname)", prefix).decode()
    return dict(line.split(" ") for line in listed.splitlines())


def set_ref(project: str, ref: str, commit: str | None) -> None:
    """Have a ref point to a commit; None takes the ref away."""
    run_git(project, "update-ref", *(["-d", ref] if commit is None else [ref, commit]))
