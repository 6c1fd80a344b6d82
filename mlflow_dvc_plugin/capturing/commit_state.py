"""The data state that the metafiles of a Git commit record.

Commands use it, and so does the capture of states that are too large for tags.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable
from functools import lru_cache

from mlflow_dvc_plugin.capturing.dvc_config import load_config
from mlflow_dvc_plugin.capturing.memory import saved_results
from mlflow_dvc_plugin.capturing.reading import forget_project
from mlflow_dvc_plugin.capturing.snapshot import take_snapshot
from mlflow_dvc_plugin.errors import GitError, MlflowDvcError
from mlflow_dvc_plugin.git import find_prefix, is_commit, resolve_commit, run_git
from mlflow_dvc_plugin.settings import Settings, load_settings
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.manifest import MAX_ENTRIES

# What DVC reads to find the outs: metafiles, ignore rules, and the files that
# a dvc.yaml can take variables from.
_READ_BY_DVC = re.compile(
    r"(\.dvc|/dvc\.lock|/\.dvcignore|/\.gitignore|\.ya?ml|\.json|\.toml|\.py)\Z"
)
_MAX_SIZE = 64 * 1024 * 1024  # bytes of one file


def read_commit_state(project: str, commit: str, selected: bool = False) -> DataState:
    """Read the data state that a commit's metafiles record, with the metafiles' bytes.

    With `selected`, only the outs that a run at that commit would record, by the settings
    of the commit's pyproject.toml and of the environment.
    """
    if not is_commit(commit):
        raise GitError(f"{commit[:80]!r} is not a commit hash.")
    resolve_commit(project, commit)
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        write_commit_files(project, commit, folder)
        settings = load_settings(folder) if selected else Settings()
        try:
            state = take_snapshot(folder, settings._replace(status_budget_ms=0), save=False)
        finally:
            forget_project(folder)
    return DataState(
        root=find_prefix(project).rstrip("/") or ".",
        entries=state.entries,
        lock_hash=state.lock_hash,
        git_commit=commit,
        metafiles=state.metafiles,
        source="commit",
    )


def write_commit_files(project: str, commit: str, folder: str) -> None:
    """Write every file of a commit that DVC reads to find the outs, and make `folder` a project."""
    make_project(folder)
    for path, data in _read_files(project, commit, find_prefix(project)):
        target = os.path.join(folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)


def make_project(folder: str) -> None:
    """Make a temporary folder a project, whatever repository it may be in, and be ignored by."""
    os.makedirs(os.path.join(folder, ".dvc"), exist_ok=True)
    with open(os.path.join(folder, ".dvc", "config.local"), "w") as file:
        file.write("[core]\n    no_scm = true\n")


def add_commit_entries(state: DataState) -> DataState:
    """Add what the commit's metafiles record to a state that is too large for its own manifest."""
    global _last  # noqa: PLW0603 - the runs of a search mostly have the same state
    if len(state.entries) <= MAX_ENTRIES or state.git_commit is None:
        return state
    last = _last
    if last is None or last[0] is not state:
        try:
            entries = _read_entries(state.project, state.root, state.git_commit)
        except MlflowDvcError:
            return state
        last = _last = state, state._replace(commit_entries=entries)
    return last[1]


# The last state, without and with the entries of its commit.
_last: tuple[DataState, DataState] | None = None


@lru_cache(maxsize=1)
def _read_entries(project: str, root: str, commit: str) -> tuple[Entry, ...]:
    """The outs that a commit's metafiles record, saved for the next process."""
    config = json.dumps(load_config(project), sort_keys=True)
    key = f"{root}\0{commit}\0{config}"
    path = saved_results.result_path(project, "commit", key.encode("utf-8", "surrogateescape"))
    saved = saved_results.load_result(path)
    if saved is not None:
        return tuple(Entry(*values) for values in saved)
    entries = read_commit_state(project, commit).entries
    saved_results.save_result(path, entries)
    return entries


def _read_files(project: str, commit: str, prefix: str) -> Iterable[tuple[str, bytes]]:
    """The files of a commit that DVC reads: path in the project, and content."""
    listing = run_git(
        project, "ls-tree", "-r", "-l", "-z", "--full-tree", commit, "--", prefix or "."
    )
    blobs: list[tuple[str, bytes]] = []
    for line in listing.split(b"\0"):
        meta, _, name = line.partition(b"\t")
        path = os.fsdecode(name).removeprefix(prefix)
        fields = meta.split()
        # Git checks out no tree that leads elsewhere, but it can store one.
        is_inside = not {"", ".", "..", ".git"} & set(path.split("/"))
        is_file = len(fields) == 4 and fields[0].startswith(b"100")
        if (
            is_file
            and is_inside
            and _READ_BY_DVC.search("/" + path)
            and int(fields[3]) <= _MAX_SIZE
        ):
            blobs.append((path, fields[2]))
    stdin = b"".join(oid + b"\n" for _, oid in blobs)
    stream = run_git(project, "cat-file", "--batch", stdin=stdin)
    start = 0
    for path, _ in blobs:
        end = stream.index(b"\n", start)
        size = int(stream[start:end].split()[2])
        yield path, stream[end + 1 : end + 1 + size]
        start = end + size + 2
