"""The Git branches and tags whose metafiles name hashes."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from mlflow_dvc_plugin.errors import NoGitError
from mlflow_dvc_plugin.git import run_git
from mlflow_dvc_plugin.lineage.result import Result

_AT_ONCE = 100  # commits
_METAFILES = (":(top,glob)**/*.dvc", ":(top,glob)**/dvc.lock")
_NONE_FOUND = 1  # the exit code of `git grep`


@dataclass(frozen=True)
class GitRef(Result):
    """A Git ref, and the metafiles at it that name one of the hashes, by path in the repository."""

    ref: str
    commit: str
    metafiles: list[str]


def find_refs(project: str, hashes: Collection[str]) -> list[GitRef]:
    """The refs whose metafiles name one of the hashes; none without Git.

    These are branches, tags, remote branches and DVC's experiments. Older commits
    are not searched.
    """
    try:
        commits = _read_commits(project)
    except NoGitError:
        return []
    distinct = list(dict.fromkeys(commits.values()))
    metafiles: dict[str, list[str]] = {}
    for start in range(0, len(distinct), _AT_ONCE):
        found = run_git(
            project,
            *("grep", "-l", "-z", "--full-name", "-F", "-f", "-"),
            *(*distinct[start : start + _AT_ONCE], "--", *_METAFILES),
            stdin="\n".join(hashes).encode(),
            codes=(0, _NONE_FOUND),
        )
        for line in filter(None, os.fsdecode(found).split("\0")):
            commit, _, path = line.partition(":")
            metafiles.setdefault(commit, []).append(path)
    return [
        GitRef(ref, commit, sorted(metafiles[commit]))
        for ref, commit in commits.items()
        if commit in metafiles
    ]


def _read_commits(project: str) -> dict[str, str]:
    """The commit of each ref, also of annotated tags."""
    form = "%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)"
    commits = {}
    for line in os.fsdecode(run_git(project, "for-each-ref", f"--format={form}")).splitlines():
        ref, kind, value, tagged_kind, tagged = line.split("\0")
        if "commit" in (kind, tagged_kind):
            commits[ref] = value if kind == "commit" else tagged
    return commits
