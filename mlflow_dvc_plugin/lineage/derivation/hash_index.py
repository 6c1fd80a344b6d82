"""The index of hashes for runs that were recorded before there was one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.lineage.derivation.backfill import TaggedRun
from mlflow_dvc_plugin.lineage.recorded_states import RecordedStates, read_tagged_outs
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.entry import usage_key
from mlflow_dvc_plugin.state.tags import INDEX_KEYS, OUT_PREFIX, build_index_tags
from mlflow_dvc_plugin.tracking import Run, search_runs_without, tag_clause, write_tags

_BATCH = 10_000  # runs


def index_runs(
    experiments: Sequence[str], *, dry_run: bool, tracking_uri: str | None, progress: Progress
) -> Iterator[TaggedRun]:
    """Tag the runs that have a recorded state, but no index of its hashes, the newest first.

    What is tagged stays tagged, so a search that was interrupted can be started again.
    """
    states = RecordedStates(find_project())

    def search(clauses: Sequence[str]) -> Iterator[Run]:
        clauses = [tag_clause("dvc.data_hash"), *clauses]
        return search_runs_without(INDEX_KEYS, clauses, experiments, tracking_uri)

    progress.begin("Reading runs without dvc.hashes", 0)
    for batch in _read_batches(search, lambda run: _build_index(states, run), progress):
        progress.begin("Tagging runs", len(batch))
        for run in batch:
            if not (dry_run or run.skipped):
                write_tags(run.run_id, run.tags, tracking_uri=tracking_uri)
            progress.advance(files=1)
            yield run
        progress.begin("Reading runs without dvc.hashes", 0)


def _read_batches(
    search: Callable[[Sequence[str]], Iterator[Run]],
    convert: Callable[[Run], TaggedRun],
    progress: Progress,
) -> Iterator[list[TaggedRun]]:
    """Read runs that a search no longer finds when they are tagged: each batch is a new search."""
    seen: set[str] = set()
    clauses: list[str] = []
    while True:
        batch = []
        for run in islice((r for r in search(clauses) if r.run_id not in seen), _BATCH):
            progress.advance(files=1)
            batch.append(convert(run))
            clauses = [f"attributes.start_time <= {run.start_time}"]
        if not batch:
            return
        yield batch
        seen.update(run.run_id for run in batch)


def _build_index(states: RecordedStates, run: Run) -> TaggedRun:
    used, is_complete = states.find_used_outs(run)
    if not is_complete:
        reason = states.read_outs(run)
        skipped = reason if isinstance(reason, str) else "its tags contradict its recorded state"
        return TaggedRun(run.run_id, skipped=skipped)
    if "dvc.stage" not in run.tags:
        used = tuple(sorted(used, key=usage_key))
    made = read_tagged_outs(run, OUT_PREFIX)
    return TaggedRun(run.run_id, build_index_tags(used, made, run.tags))
