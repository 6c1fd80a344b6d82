"""Which runs used, or made, some data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.errors import LineageError, NoRecordedStateError
from mlflow_dvc_plugin.lineage.derivation.stage_records import hash_stage_inputs
from mlflow_dvc_plugin.lineage.observation import observe_workspace
from mlflow_dvc_plugin.lineage.recorded_states import Role
from mlflow_dvc_plugin.lineage.search.hash_prefixes import HashPrefixes, parse_hash, to_digits
from mlflow_dvc_plugin.lineage.search.hash_search import search_by_hashes
from mlflow_dvc_plugin.lineage.search.query import Query
from mlflow_dvc_plugin.lineage.search.results import FoundRun, RunCollector, SearchResult
from mlflow_dvc_plugin.lineage.search.run_reader import RunReader
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.state import fingerprint
from mlflow_dvc_plugin.state.tags import (
    DATA_OMITTED,
    HASHES,
    INDEX_KEYS,
    MIN_HASH,
    OMITTED_HASHES,
    OUT_PREFIX,
    to_tag_key,
)
from mlflow_dvc_plugin.tracking import Run, contains_clause, find_run, tag_clause

_MAX_SEARCHES = 30  # reading all runs is faster than more searches


def find_runs(
    *,
    same_as: str | Run | None = None,
    data_hash: str | None = None,
    path: str | None = None,
    hash: str | None = None,  # noqa: A002 - the name of the option
    experiments: Sequence[str] = (),
    metrics: Sequence[str] = (),
    tracking_uri: str | None = None,
    project: str | None = None,
) -> list[FoundRun]:
    """The runs that used or made some data, the newest first.

    A run inside a DVC stage used the stage's inputs; any other run used all
    outs. The arguments are those of :class:`Query`.

    Raises:
        MlflowDvcError: the runs or the workspace cannot be read.
    """
    query = Query(same_as, data_hash, path, hash, experiments, metrics, tracking_uri, project)
    return search_by_data(query).runs


def search_by_data(query: Query, progress: Progress | None = None) -> SearchResult:
    """The runs that used or made some data, and what limits the search."""
    progress = progress or Progress()
    if query.hash is not None and query.path is None:
        (result,) = search_by_hashes([query.hash], query, progress).values()
        return result
    root = find_root(query.project) if query.project else find_project()
    search = _Search(query, RunReader(query, root, progress), progress)
    if query.path is not None:
        return search.by_path(query.path, query.hash)
    if query.data_hash is not None:
        return search.by_state(query.data_hash)
    if query.same_as is None:
        return search.by_workspace(find_root(query.project))
    run = query.same_as
    if isinstance(run, str):
        run = find_run(run, query.tracking_uri)
    if "dvc.data_hash" not in run.tags:
        raise NoRecordedStateError(
            f"Run {run.run_id} has no dvc.data_hash tag, so its data is unknown."
        )
    inputs = [run.tags["dvc.inputs_hash"]] if "dvc.inputs_hash" in run.tags else []
    reason = f"it was modified when run {run.run_id} started, and was not saved"
    return search.by_state(run.tags["dvc.data_hash"], inputs, dict.fromkeys(run.modified, reason))


class _Search:
    """One search of the MLflow store."""

    def __init__(self, query: Query, reader: RunReader, progress: Progress) -> None:
        self._reader = reader
        self._progress = progress
        self._collector = RunCollector(query.metrics)

    def by_workspace(self, root: str) -> SearchResult:
        """Runs on the data that is in the workspace now."""
        observation = observe_workspace(root, self._progress)
        # An out that is not there does not contradict a run: its metafile says what it would be.
        missing = {e.path: e for e in observation.missing}
        outs = {**missing, **{e.path: e for e in observation.state.entries if e.cached and e.hash}}
        if not outs:
            raise LineageError(
                "DVC tracks no data in this workspace. Name the data with --path, --hash, "
                "--data-hash or --same-as."
            )
        reasons = dict.fromkeys(missing, "it is not in the workspace")
        return self.by_state(
            fingerprint(outs.values()),
            hash_stage_inputs(root, outs),
            {**reasons, **observation.unverified},
        )

    def by_state(
        self,
        data_hash: str,
        inputs: Sequence[str] = (),
        unverified: Mapping[str, str] | None = None,
    ) -> SearchResult:
        """Runs on a data state, or in a stage with the same inputs."""
        clauses = [tag_clause("dvc.inputs_hash", value) for value in inputs]
        if len(clauses) > _MAX_SEARCHES:
            clauses = [tag_clause("dvc.inputs_hash")]
        for clause in [tag_clause("dvc.data_hash", data_hash), *clauses]:
            for run in self._reader.search(clause):
                tags = run.tags
                if data_hash == tags.get("dvc.data_hash") or tags.get("dvc.inputs_hash") in inputs:
                    used, is_complete = self._reader.states.find_used_outs(run)
                    if not is_complete:
                        self._collector.add_unread(run)
                    self._collector.add_run(run, [(e.path, str(e.hash), "input") for e in used])
        return self._collector.to_result(unverified=unverified or {})

    def by_path(self, path: str, value: str | None) -> SearchResult:
        """Runs that used or made the out at a path."""
        keys: dict[str, Role] = {to_tag_key(path): "input", to_tag_key(path, OUT_PREFIX): "output"}
        prefixes = None if value is None else HashPrefixes([parse_hash(value)])
        for key, role in keys.items():
            clause = tag_clause(key) if value is None else contains_clause(key, to_digits(value))
            for run in self._reader.search(clause):
                if prefixes is None or any(prefixes.match(run.tags[key])):
                    self._collector.add_run(run, [(path, run.tags[key], role)])
        # Some outs have no tag of their own; the manifest has them.
        for run in self._find_cut(value):
            if to_tag_key(path) in run.tags:
                continue
            entries = self._reader.states.read_used_outs(run)
            if entries is None:
                self._collector.add_unread(run)
                continue
            found = [str(e.hash) for e in entries if e.path == path]
            matches = [each for each in found if prefixes is None or any(prefixes.match(each))]
            self._collector.add_run(run, [(path, each, "input") for each in matches])
        return self._collector.to_result()

    def _find_cut(self, value: str | None) -> Iterator[Run]:
        """The runs some of whose outs have no tag of their own, if they may have used a hash."""
        clause = tag_clause(DATA_OMITTED)
        if value is None:
            yield from self._reader.search(clause)
            return
        indexed = contains_clause(HASHES, to_digits(value)[:MIN_HASH])
        for condition in (indexed, tag_clause(OMITTED_HASHES[HASHES])):
            yield from self._reader.search(f"{clause} AND {condition}")
        yield from self._reader.search_without(INDEX_KEYS, clause, "Reading runs")
