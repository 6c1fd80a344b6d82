"""Tags for runs that have none: of the workspace, or derived from a Git commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow_dvc_plugin.capturing.commit_state import add_commit_entries, read_commit_state
from mlflow_dvc_plugin.errors import LineageError, MlflowDvcError
from mlflow_dvc_plugin.git import is_commit, resolve_commit
from mlflow_dvc_plugin.lineage.workspace import root_of, state_now
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.settings import load_settings
from mlflow_dvc_plugin.tracking import Run, find_run, search_runs, tag_clause, write_tags

SOURCE = "dvc.source"
DERIVED = "derived"
MLFLOW_COMMIT = "mlflow.source.git.commit"


@dataclass(frozen=True)
class TaggedRun:
    """A run that was given tags, or why it was not.

    Attributes:
        run_id: the run.
        tags: what it was given; empty if it was passed over.
        skipped: why it was passed over.
    """

    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    skipped: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        found: dict[str, Any] = {"run_id": self.run_id, "tags": dict(self.tags)}
        if self.skipped:
            found["skipped"] = self.skipped
        return found


def tag(
    run: str,
    *,
    rev: str | None = None,
    force: bool = False,
    tracking_uri: str | None = None,
    project: str | None = None,
) -> TaggedRun:
    """Give an existing run the tags of a data state.

    Args:
        run: what :func:`~mlflow_dvc_plugin.tracking.find_run` takes.
        rev: the Git revision whose metafiles say what the data was; the tags
            then say that they are derived. None for the workspace as it is.
        force: replace the DVC tags that the run has.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.

    Raises:
        LineageError: the run has DVC tags, or the revision has no data.
        MlflowDvcError: the run, the workspace or Git cannot be read.
    """
    root = root_of(project)
    found = find_run(run, tracking_uri)
    old = [key for key in found.tags if key.startswith("dvc.")]
    if old and not force:
        raise LineageError(
            f"Run {found.run_id} has DVC tags: `mlflow-dvc show {found.run_id}` shows them, "
            "--force replaces them."
        )
    tags = tags_now(root) if rev is None else derived_tags(root, resolve_commit(root, rev))
    write_tags(found.run_id, tags, [key for key in old if key not in tags], tracking_uri)
    return TaggedRun(found.run_id, tags)


def backfill(
    experiments: Sequence[str],
    *,
    dry_run: bool = False,
    tracking_uri: str | None = None,
    project: str | None = None,
    progress: Progress | None = None,
) -> Iterator[TaggedRun]:
    """Give the runs of experiments that have no DVC tags those of their Git commits.

    Args:
        experiments: names of experiments.
        dry_run: write nothing.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.
        progress: hears of runs.

    Returns:
        The runs that have no DVC tags and name a commit, the newest first.

    Raises:
        MlflowDvcError: the runs cannot be read, or written to.
    """
    root = root_of(project)
    progress = progress or Progress()
    known: dict[str, Mapping[str, str] | str] = {}
    # All are read before the first is written: tags change what a search finds.
    waiting = [
        (run.run_id, run.tags[MLFLOW_COMMIT])
        for run in search_runs([tag_clause(MLFLOW_COMMIT)], experiments, tracking_uri)
        if not _is_tagged(run)
    ]
    progress.begin("Tagging runs", len(waiting))
    for run_id, commit in waiting:
        if commit not in known:
            known[commit] = _try(root, commit)
        tags = known[commit]
        if isinstance(tags, str):
            yield TaggedRun(run_id, skipped=tags)
            continue
        if not dry_run:
            write_tags(run_id, tags, tracking_uri=tracking_uri)
        progress.advance(files=1)
        yield TaggedRun(run_id, tags)


def tags_now(root: str) -> dict[str, str]:
    """The tags that a run started in the project now would get.

    Raises:
        MlflowDvcError: the project's metafiles or settings cannot be read.
    """
    return add_commit_entries(state_now(root)).to_tags(load_settings(root).max_path_tags)


def derived_tags(root: str, commit: str) -> dict[str, str]:
    """The tags that say what a commit's metafiles say, and that nobody observed it.

    Outs are selected by the settings of that commit's pyproject.toml, and of
    the environment, as a run there would.

    Args:
        root: absolute path of the project.
        commit: a full commit hash.

    Raises:
        LineageError: the commit's metafiles track nothing.
        MlflowDvcError: the commit or its metafiles cannot be read.
    """
    state = replace(read_commit_state(root, commit, selected=True), project=root)
    if not state.entries:
        raise LineageError(f"DVC tracked nothing in this project at commit {commit[:12]}.")
    tags = add_commit_entries(state).to_tags(load_settings(root).max_path_tags)
    return {**tags, SOURCE: DERIVED}


def _try(root: str, commit: str) -> Mapping[str, str] | str:
    if not is_commit(commit):
        return f"{commit[:80]!r} is not a commit hash"
    try:
        return derived_tags(root, commit)
    except MlflowDvcError as err:
        return str(err)


def _is_tagged(run: Run) -> bool:
    return any(key.startswith("dvc.") for key in run.tags)
