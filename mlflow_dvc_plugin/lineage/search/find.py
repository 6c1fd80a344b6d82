"""Which runs used, or made, some data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import islice

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import LineageError, NoRecordedStateError
from mlflow_dvc_plugin.lineage.derivation.stage_records import hash_stage_inputs
from mlflow_dvc_plugin.lineage.observation import observe_workspace
from mlflow_dvc_plugin.lineage.recorded_states import Entries, RecordedStates, Role
from mlflow_dvc_plugin.lineage.search.results import FoundRun, Match, RunCollector, SearchResult
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.state import Entry, fingerprint
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX
from mlflow_dvc_plugin.state.tags import DATA_PREFIX, OUT_PREFIX, to_tag_key
from mlflow_dvc_plugin.tracking import Run, find_run, search_runs, tag_clause

OMITTED = "dvc.data_omitted"
_BATCH = 1000
_MAX_SEARCHES = 30  # reading all runs is faster than more searches


@dataclass(frozen=True)
class Query:
    """What to search for. With none of the first four: the data in the workspace.

    Attributes:
        same_as: a run; runs on the same data state, and for a run in a stage
            those with the same inputs.
        data_hash: a fingerprint of a data state.
        path: an out's path relative to the project.
        hash: a hash; of the out at `path`, else of any out, or of any file
            inside a tracked folder.
        experiments: names of experiments; none for all.
        metrics: names of metrics to read.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.
    """

    same_as: str | Run | None = None
    data_hash: str | None = None
    path: str | None = None
    hash: str | None = None
    experiments: Sequence[str] = ()
    metrics: Sequence[str] = ()
    tracking_uri: str | None = None
    project: str | None = None


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
    root = find_root(query.project) if query.project else find_project()
    search = _Search(query, RecordedStates(root), progress)
    if query.path is not None:
        return search.by_path(query.path, query.hash)
    if query.hash is not None:
        with closing(DvcProject(root)) if root else nullcontext() as dvc:
            return search.by_hash(query.hash, dvc)
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

    def __init__(self, query: Query, states: RecordedStates, progress: Progress) -> None:
        self._query = query
        self._states = states
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
            for run in self._read_runs(clause):
                tags = run.tags
                if data_hash == tags.get("dvc.data_hash") or tags.get("dvc.inputs_hash") in inputs:
                    used = self._read_used_outs(run)
                    self._collector.add_run(run, [(e.path, str(e.hash), "input") for e in used])
        return self._collector.to_result(unverified=unverified)

    def by_path(self, path: str, value: str | None) -> SearchResult:
        """Runs that used or made the out at a path."""
        keys: dict[str, Role] = {to_tag_key(path): "input", to_tag_key(path, OUT_PREFIX): "output"}
        for key, role in keys.items():
            for run in self._read_runs(tag_clause(key, value)):
                if value in (None, run.tags.get(key)):
                    self._collector.add_run(run, [(path, run.tags[key], role)])
        # Some outs have no tag of their own; the manifest has them.
        for run in self._read_runs(tag_clause(OMITTED)):
            if to_tag_key(path) in run.tags:
                continue
            entries = self._states.read_used_outs(run)
            if entries is None:
                self._collector.add_unread(run)
                continue
            matches = [e for e in entries if e.path == path and value in (None, e.hash)]
            self._collector.add_run(run, [(path, str(e.hash), "input") for e in matches])
        return self._collector.to_result()

    def by_hash(self, value: str, dvc: DvcProject | None) -> SearchResult:
        """Runs that used or made anything with a hash, also files in folders."""
        from mlflow_dvc_plugin.lineage.search.hash_lookup import HashLookup

        lookup = HashLookup(value, dvc)
        phase = "Reading all runs (--path or --experiment means fewer)"
        runs = self._read_runs(tag_clause("dvc.data_hash"), phase)
        # Many runs together, so that the listings of their folders are read in parallel.
        while batch := list(islice(runs, _BATCH)):
            outs = [
                (run, self._read_used_outs(run), read_tagged_outs(run, OUT_PREFIX)) for run in batch
            ]
            lookup.read_folders(entries for _, *both in outs for entries in both)
            for run, used, made in outs:
                matches: list[Match] = [(path, value, "input") for path in lookup.find_paths(used)]
                matches += [(path, value, "output") for path in lookup.find_paths(made)]
                self._collector.add_run(run, matches)
        return self._collector.to_result(lookup.unread)

    def _read_runs(self, clause: str, phase: str = "Reading runs") -> Iterator[Run]:
        self._progress.begin(phase, 0)
        for run in search_runs([clause], self._query.experiments, self._query.tracking_uri):
            self._progress.advance(files=1)
            yield run

    def _read_used_outs(self, run: Run) -> Entries:
        entries = self._states.read_used_outs(run)
        if entries is not None:
            return entries
        outs = read_tagged_outs(run, DATA_PREFIX)
        if OMITTED in run.tags or not outs:
            self._collector.add_unread(run)
        return outs


def read_tagged_outs(run: Run, prefix: str) -> Entries:
    """The outs that a run's tags name, with the path in the key."""
    return tuple(
        Entry(key[len(prefix) :], "md5", value, isdir=value.endswith(DIR_SUFFIX))
        for key, value in run.tags.items()
        if key.startswith(prefix)
    )
