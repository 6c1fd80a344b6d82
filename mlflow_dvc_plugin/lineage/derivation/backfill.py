"""Tags for runs that exist: of the workspace, or derived from a Git commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlflow_dvc_plugin.capturing.commit_state import add_commit_entries, read_commit_state
from mlflow_dvc_plugin.errors import LineageError, MlflowDvcError
from mlflow_dvc_plugin.git import is_commit, resolve_commit
from mlflow_dvc_plugin.lineage.result import Result
from mlflow_dvc_plugin.lineage.workspace import read_state
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.settings import load_settings
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.tracking import Run, find_run, search_runs, tag_clause, write_tags

SOURCE = "dvc.source"
DERIVED = "derived"
MLFLOW_COMMIT = "mlflow.source.git.commit"


@dataclass(frozen=True)
class TaggedRun(Result):
    """A run that was tagged, or the reason why it was skipped."""

    optional = ("skipped",)

    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    skipped: str = ""


def tag(run: str, *, rev: str | None, force: bool, tracking_uri: str | None) -> TaggedRun:
    """Give an existing run the tags of the workspace, or those derived from a Git revision."""
    root = find_root()
    found = find_run(run, tracking_uri)
    old = _find_dvc_tags(found)
    if old and not force:
        raise LineageError(
            f"Run {found.run_id} already has DVC tags. See them with `mlflow-dvc show "
            f"{found.run_id}`, or use --force to replace them."
        )
    if rev is None:
        tags = _build_tags(root, read_state(root))
    else:
        tags = derive_tags(root, resolve_commit(root, rev))
    write_tags(found.run_id, tags, [key for key in old if key not in tags], tracking_uri)
    return TaggedRun(found.run_id, tags)


def backfill(
    experiments: Sequence[str], *, dry_run: bool, tracking_uri: str | None, progress: Progress
) -> Iterator[TaggedRun]:
    """Tag the runs of experiments that name a Git commit and have no DVC tags, the newest first."""
    root = find_root()
    # All are read before the first is written: tags change what a search finds.
    found = search_runs([tag_clause(MLFLOW_COMMIT)], experiments, tracking_uri)
    untagged = [(run.run_id, run.tags[MLFLOW_COMMIT]) for run in found if not _find_dvc_tags(run)]
    by_commit: dict[str, Mapping[str, str] | str] = {}
    progress.begin("Tagging runs", len(untagged))
    for run_id, commit in untagged:
        if commit not in by_commit:
            by_commit[commit] = _try_to_derive(root, commit)
        tags = by_commit[commit]
        if isinstance(tags, str):
            yield TaggedRun(run_id, skipped=tags)
            continue
        if not dry_run:
            write_tags(run_id, tags, tracking_uri=tracking_uri)
        progress.advance(files=1)
        yield TaggedRun(run_id, tags)


def derive_tags(root: str, commit: str) -> dict[str, str]:
    """The tags that say what a commit's metafiles say, and that this was not observed.

    Outs are selected by the settings of that commit's pyproject.toml and of the
    environment, as a run at that commit would select them.
    """
    state = read_commit_state(root, commit, selected=True)._replace(project=root)
    if not state.entries:
        raise LineageError(f"DVC tracked nothing in this project at commit {commit[:12]}.")
    return {**_build_tags(root, state), SOURCE: DERIVED}


def _build_tags(root: str, state: DataState) -> dict[str, str]:
    return add_commit_entries(state).to_tags(load_settings(root).max_path_tags)


def _try_to_derive(root: str, commit: str) -> Mapping[str, str] | str:
    if not is_commit(commit):
        return f"{commit[:80]!r} is not a commit hash"
    try:
        return derive_tags(root, commit)
    except MlflowDvcError as err:
        return str(err)


def _find_dvc_tags(run: Run) -> list[str]:
    return [key for key in run.tags if key.startswith("dvc.")]
