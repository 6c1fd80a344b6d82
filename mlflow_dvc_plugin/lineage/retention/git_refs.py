"""Git commits and refs, made without touching the workspace, the index or any branch."""

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
    """Create a commit without touching the workspace, the index or any branch.

    Bytes are None for a file to remove. The same content at the same time, in seconds since
    1970 (UTC), has the same hash.
    """
    tree = _write_tree(project, base, changes)
    author = {"NAME": "mlflow-dvc", "EMAIL": "mlflow-dvc@localhost", "DATE": f"@{seconds} +0000"}
    env = {f"GIT_AUTHOR_{key}": value for key, value in author.items()}
    env |= {f"GIT_COMMITTER_{key}": value for key, value in author.items()}
    parent = ["-p", base] if base else []
    commit = run_git(project, "commit-tree", tree, "-m", message, *parent, env=env)
    return commit.decode().strip()


def _write_tree(project: str, base: str | None, changes: Mapping[str, bytes | None]) -> str:
    prefix = find_prefix(project)
    lines = []
    for path, data in changes.items():
        mode, oid = "0", "0" * (len(base) if base else 40)
        if data is not None:
            oid = run_git(project, "hash-object", "-w", "--stdin", stdin=data).decode().strip()
            mode = "100644"
        lines.append(f"{mode} {oid}\t{prefix}{path}\0")
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
        return run_git(project, "write-tree", env=index).decode().strip()


def read_refs(project: str, prefix: str) -> dict[str, str]:
    """The refs below a prefix, with the hashes that they point to."""
    listed = run_git(project, "for-each-ref", "--format=%(refname) %(objectname)", prefix).decode()
    return dict(line.split(" ") for line in listed.splitlines())
