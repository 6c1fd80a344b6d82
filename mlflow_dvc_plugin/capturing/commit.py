"""What the metafiles of a Git commit say.

For the command line and for states too large for tags: most captures do not
come here.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.snapshot import forget
from mlflow_dvc_plugin.errors import GitError, MlflowDvcError
from mlflow_dvc_plugin.git import git, is_commit, prefix_of, resolve
from mlflow_dvc_plugin.settings import Settings, for_project
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.manifest import MAX_ENTRIES

# What DVC reads to know the outs: metafiles, ignore rules, and the files that
# a dvc.yaml may take variables from.
_READ_BY_DVC = re.compile(
    r"(\.dvc|/dvc\.lock|/\.dvcignore|/\.gitignore|\.ya?ml|\.json|\.toml|\.py)\Z"
)
_MAX_SIZE = 64 * 1024 * 1024  # bytes of one file


def state_at(project: str, commit: str, selected: bool = False) -> DataState:
    """The data state that a commit's metafiles say, with the metafiles' bytes.

    Args:
        project: absolute path of the project.
        commit: a full commit hash; from anyone, so it is checked before use.
        selected: only the outs that a run there would record, by the settings
            of the commit's own pyproject.toml and of the environment.

    Raises:
        GitError: Git does not have the commit.
        CaptureError: the commit's metafiles cannot be read.
        SettingsError: a setting has a value that cannot be used.
    """
    if not is_commit(commit):
        raise GitError(f"{commit[:80]!r} is not a commit hash.")
    resolve(project, commit)
    prefix = prefix_of(project)
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        write_files_at(project, commit, folder)
        chosen = for_project(folder) if selected else Settings()
        patterns = Settings(include=chosen.include, exclude=chosen.exclude, status_budget_ms=0)
        try:
            state = capture(folder, settings=patterns)
        finally:
            forget(folder)
    assert state is not None
    return DataState(
        root=prefix.rstrip("/") or ".",
        entries=state.entries,
        lock_hash=state.lock_hash,
        git_commit=commit,
        metafiles=state.metafiles,
        source="commit",
    )


def write_files_at(project: str, commit: str, folder: str) -> None:
    """Make `folder` a project with all that DVC reads of a commit to know its outs.

    Raises:
        GitError: Git does not have the commit.
    """
    os.makedirs(os.path.join(folder, ".dvc"), exist_ok=True)
    for path, data in _files(project, commit, prefix_of(project)):
        target = os.path.join(folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)


def with_committed(state: DataState) -> DataState:
    """The state with what its commit says, where it is too large for a manifest of its own."""
    global _last  # noqa: PLW0603 - the runs of a search mostly have the same state
    if len(state.entries) <= MAX_ENTRIES or state.git_commit is None:
        return state
    if _last is None or _last[0] is not state:
        try:
            committed = _entries_at(state.project, state.git_commit)
        except MlflowDvcError:
            return state
        _last = state, replace(state, committed=committed)
    return _last[1]


# The last state that was asked about, and the same with its commit's entries.
_last: tuple[DataState, DataState] | None = None


@lru_cache(maxsize=1)
def _entries_at(project: str, commit: str) -> tuple[Entry, ...]:
    return state_at(project, commit).entries


def _files(project: str, commit: str, prefix: str) -> Iterable[tuple[str, bytes]]:
    """The files of a commit that say what the outs are: path in the project, content."""
    listing = git(project, "ls-tree", "-r", "-l", "-z", "--full-tree", commit, "--", prefix or ".")
    wanted: list[tuple[str, bytes]] = []
    for line in listing.split(b"\0"):
        meta, _, name = line.partition(b"\t")
        path = os.fsdecode(name).removeprefix(prefix)
        fields = meta.split()
        if (
            len(fields) != 4
            or not fields[0].startswith(b"100")
            or not _READ_BY_DVC.search("/" + path)
        ):
            continue
        if int(fields[3]) <= _MAX_SIZE:
            wanted.append((path, fields[2]))
    stream = git(project, "cat-file", "--batch", stdin=b"".join(oid + b"\n" for _, oid in wanted))
    at = 0
    for path, _ in wanted:
        end = stream.index(b"\n", at)
        size = int(stream[at:end].split()[2])
        yield path, stream[end + 1 : end + 1 + size]
        at = end + size + 2
