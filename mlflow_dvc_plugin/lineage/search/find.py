"""Which runs used, or made, this data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.errors import NoRecordedStateError
from mlflow_dvc_plugin.lineage.derivation.stage_records import inputs_hashes
from mlflow_dvc_plugin.lineage.run_states import Entries, Role, States, tagged
from mlflow_dvc_plugin.lineage.search.results import Findings, FoundRun, Gathering
from mlflow_dvc_plugin.lineage.workspace import opened, root_of, state_now
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX
from mlflow_dvc_plugin.state.tags import OUT_PREFIX, to_tag_key
from mlflow_dvc_plugin.tracking import Run, find_run, search_runs, tag_clause

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.project import DvcProject

OMITTED = "dvc.data_omitted"
_BATCH = 1000
_FEW = 30  # questions that are quicker than reading all runs


def find_runs(
    *,
    same_as: str | Run | None = None,
    data_hash: str | None = None,
    path: str | None = None,
    hash: str | None = None,  # noqa: A002 - the name that the option has
    experiments: Sequence[str] = (),
    metrics: Sequence[str] = (),
    tracking_uri: str | None = None,
    project: str | None = None,
) -> list[FoundRun]:
    """The runs that used or made some data, the newest first.

    With none of the first four, the data of the workspace as it is. A run
    inside a DVC stage used the stage's inputs; any other run used all outs.

    Args:
        same_as: a run; those on the same data state, and for a run in a stage
            those with the same inputs.
        data_hash: a fingerprint of a data state.
        path: an out's path relative to the project.
        hash: a hash; of the out at `path`, else of any out, or of any file
            inside a tracked folder.
        experiments: names of experiments; none for all.
        metrics: names of metrics to give along.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.

    Raises:
        MlflowDvcError: it cannot be found out.
    """
    return find(
        same_as=same_as,
        data_hash=data_hash,
        path=path,
        value=hash,
        experiments=experiments,
        metrics=metrics,
        tracking_uri=tracking_uri,
        project=project,
    ).runs


def find(
    *,
    same_as: str | Run | None = None,
    data_hash: str | None = None,
    path: str | None = None,
    value: str | None = None,
    experiments: Sequence[str] = (),
    metrics: Sequence[str] = (),
    tracking_uri: str | None = None,
    project: str | None = None,
    progress: Progress | None = None,
) -> Findings:
    """As :func:`find_runs`, with what could not be known."""
    root = root_of(project) if project else find_project()
    store = _Store(experiments, tracking_uri, progress or Progress())
    ask = _Search(store, States(root), Gathering(metrics))
    if path is not None:
        return ask.by_path(path, value)
    if value is not None:
        with opened(root) as dvc:
            return ask.by_hash(value, dvc)
    inputs: list[str] = []
    if data_hash is not None:
        wanted = data_hash
    elif same_as is not None:
        run = find_run(same_as, tracking_uri) if isinstance(same_as, str) else same_as
        if "dvc.data_hash" not in run.tags:
            raise NoRecordedStateError(f"Run {run.run_id} does not say what its data was.")
        wanted = run.tags["dvc.data_hash"]
        inputs = [run.tags["dvc.inputs_hash"]] if "dvc.inputs_hash" in run.tags else []
    else:
        root = root_of(project)
        wanted = state_now(root).data_hash
        inputs = inputs_hashes(root)
    return ask.by_state(wanted, inputs)


class _Store:
    """Asks the MLflow store, within the chosen experiments."""

    def __init__(
        self, experiments: Sequence[str], tracking_uri: str | None, progress: Progress
    ) -> None:
        self._experiments = experiments
        self._tracking_uri = tracking_uri
        self._progress = progress

    def runs(self, *clauses: str, what: str = "Reading runs") -> Iterator[Run]:
        self._progress.begin(what, 0)
        for run in search_runs(clauses, self._experiments, self._tracking_uri):
            self._progress.advance(files=1)
            yield run


class _Search:
    """One question to the store.

    Args:
        store: who to ask.
        states: reads what runs recorded.
        gathering: where the runs that match go.
    """

    def __init__(self, store: _Store, states: States, gathering: Gathering) -> None:
        self._store = store
        self._states = states
        self._gathering = gathering

    def by_state(self, data_hash: str, inputs: Sequence[str]) -> Findings:
        """Runs on a data state, or in a stage with the same inputs."""
        clauses = [tag_clause("dvc.inputs_hash", value) for value in inputs]
        if len(clauses) > _FEW:
            clauses = [tag_clause("dvc.inputs_hash")]
        for clause in [tag_clause("dvc.data_hash", data_hash), *clauses]:
            for run in self._store.runs(clause):
                tags = run.tags
                if data_hash == tags.get("dvc.data_hash") or tags.get("dvc.inputs_hash") in inputs:
                    used = self._used(run)
                    self._gathering.add(run, [(e.path, str(e.hash), "input") for e in used])
        return self._gathering.findings()

    def by_path(self, path: str, value: str | None) -> Findings:
        """Runs that used or made the out at a path."""
        keys: dict[str, Role] = {to_tag_key(path): "input", to_tag_key(path, OUT_PREFIX): "output"}
        for key, role in keys.items():
            clause = tag_clause(key) if value is None else tag_clause(key, value)
            for run in self._store.runs(clause):
                if value in (None, run.tags.get(key)):
                    self._gathering.add(run, [(path, run.tags[key], role)])
        # Not every out has a tag of its own: the manifest decides.
        for run in self._store.runs(tag_clause(OMITTED)):
            if to_tag_key(path) in run.tags:
                continue
            entries = self._states.used(run)
            if entries is None:
                self._gathering.doubt(run)
                continue
            mine = [e for e in entries if e.path == path and value in (None, e.hash)]
            self._gathering.add(run, [(path, str(e.hash), "input") for e in mine])
        return self._gathering.findings()

    def by_hash(self, value: str, dvc: DvcProject | None) -> Findings:
        """Runs that used or made anything with a hash, inside folders too."""
        from mlflow_dvc_plugin.lineage.search.contents import Holders

        holders = Holders(value, dvc)
        what = "Reading all runs (--path or --experiment means fewer)"
        runs = self._store.runs(tag_clause("dvc.data_hash"), what=what)
        # So many at once that folders' listings are read side by side.
        while some := list(islice(runs, _BATCH)):
            batch = [(run, self._used(run), _made(run)) for run in some]
            holders.look_into(entries for _, *both in batch for entries in both)
            for run, used, made in batch:
                self._gathering.add(run, [(p, value, "input") for p in holders.paths_in(used)])
                self._gathering.add(run, [(p, value, "output") for p in holders.paths_in(made)])
        return self._gathering.findings(holders.unlisted)

    def _used(self, run: Run) -> Entries:
        entries = self._states.used(run)
        if entries is not None:
            return entries
        if OMITTED in run.tags or not tagged(run.tags):
            self._gathering.doubt(run)
        return tuple(_entry(path, value) for path, value in tagged(run.tags).items())


def _made(run: Run) -> Entries:
    return tuple(_entry(path, value) for path, value in tagged(run.tags, OUT_PREFIX).items())


def _entry(path: str, value: str) -> Entry:
    """What a tag says of an out."""
    return Entry(path, "md5", value, isdir=value.endswith(DIR_SUFFIX))
