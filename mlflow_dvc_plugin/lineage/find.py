"""Which runs used, or made, this data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from mlflow_dvc_plugin.capture import find_project
from mlflow_dvc_plugin.errors import NoRecordedStateError
from mlflow_dvc_plugin.lineage.pipeline import inputs_hashes
from mlflow_dvc_plugin.lineage.states import Role, States, tagged
from mlflow_dvc_plugin.lineage.workspace import opened, root_of, state_now
from mlflow_dvc_plugin.objects import DIR_SUFFIX
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.runs import Run, find_run, has_tag, search, tag_is
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.tags import OUT_PREFIX, path_key

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc import DvcProject

OMITTED = "dvc.data_omitted"
_BATCH = 1000
_FEW = 30  # questions that are quicker than reading all runs


@dataclass(frozen=True)
class FoundRun:
    """A run that used or made the data that was asked for.

    Attributes:
        run_id: its id.
        run_name: its name.
        experiment_id: the experiment that it belongs to.
        start_time: milliseconds since 1970 (UTC).
        data_hash: the fingerprint of its data state.
        paths: the paths by which it matches, sorted.
        metrics: the chosen metrics that it has.
        roles: for each path, did the run use it (``input``) or make it (``output``).
        hashes: for each path, its hash.
    """

    run_id: str
    run_name: str
    experiment_id: str
    start_time: int
    data_hash: str | None
    paths: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Findings:
    """What a search found.

    Attributes:
        runs: the newest first.
        unread: runs whose recorded state cannot be read, so that they may or
            may not belong here.
        unlisted: folders that could not be looked into, with the reasons.
    """

    runs: list[FoundRun]
    unread: int = 0
    unlisted: dict[str, str] = field(default_factory=dict)


# A path, its hash, and what the run has to do with it.
Match = tuple[str, str, Role]


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
    states = States(root)
    if path is not None:
        return _Search(states, metrics).by_path(store, path, value)
    if value is not None:
        with opened(root) as dvc:
            return _Search(states, metrics).by_hash(store, value, dvc)
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
    return _Search(states, metrics).by_state(store, wanted, inputs)


class _Store:
    """Asks the MLflow store, within the chosen experiments."""

    def __init__(
        self, experiments: Sequence[str], tracking_uri: str | None, progress: Progress
    ) -> None:
        self._experiments = experiments
        self._tracking_uri = tracking_uri
        self._progress = progress

    def runs(self, *clauses: str) -> Iterator[Run]:
        self._progress.begin("Reading runs", 0)
        for run in search(clauses, self._experiments, self._tracking_uri):
            self._progress.advance(files=1)
            yield run


class _Search:
    """Gathers runs that match, each once.

    Args:
        states: reads what runs recorded.
        metrics: names of metrics to keep.
    """

    def __init__(self, states: States, metrics: Sequence[str]) -> None:
        self._states = states
        self._metrics = metrics
        self._found: dict[str, FoundRun] = {}
        self._unread: set[str] = set()

    def by_state(self, store: _Store, data_hash: str, inputs: Sequence[str]) -> Findings:
        """Runs on a data state, or in a stage with the same inputs."""
        clauses = [tag_is("dvc.inputs_hash", value) for value in inputs]
        if len(clauses) > _FEW:
            clauses = [has_tag("dvc.inputs_hash")]
        for clause in [tag_is("dvc.data_hash", data_hash), *clauses]:
            for run in store.runs(clause):
                tags = run.tags
                if data_hash == tags.get("dvc.data_hash") or tags.get("dvc.inputs_hash") in inputs:
                    self._add(run, [(e.path, str(e.hash), "input") for e in self._used(run)])
        return self._findings()

    def by_path(self, store: _Store, path: str, value: str | None) -> Findings:
        """Runs that used or made the out at a path."""
        keys: dict[str, Role] = {path_key(path): "input", path_key(path, OUT_PREFIX): "output"}
        for key, role in keys.items():
            clause = has_tag(key) if value is None else tag_is(key, value)
            for run in store.runs(clause):
                if value in (None, run.tags.get(key)):
                    self._add(run, [(path, run.tags[key], role)])
        # Not every out has a tag of its own: the manifest decides.
        for run in store.runs(has_tag(OMITTED)):
            if path_key(path) in run.tags:
                continue
            entries = self._states.used(run)
            if entries is None:
                self._unread.add(run.run_id)
                continue
            self._add(
                run,
                [
                    (path, str(e.hash), "input")
                    for e in entries
                    if e.path == path and value in (None, e.hash)
                ],
            )
        return self._findings()

    def by_hash(self, store: _Store, value: str, dvc: DvcProject | None) -> Findings:
        """Runs that used or made anything with a hash, inside folders too."""
        from mlflow_dvc_plugin.lineage.holders import Holders

        holders = Holders(value, dvc)
        runs = store.runs(has_tag("dvc.data_hash"))
        # So many at once that folders' listings are read side by side.
        while some := list(islice(runs, _BATCH)):
            batch = [(run, self._used(run), _made(run)) for run in some]
            holders.look_into(e for _, used, made in batch for e in (*used, *made))
            for run, used, made in batch:
                matches = [*holders.matches(used, "input"), *holders.matches(made, "output")]
                self._add(run, matches)
        return self._findings(holders.unlisted)

    def _used(self, run: Run) -> tuple[Entry, ...]:
        entries = self._states.used(run)
        if entries is not None:
            return entries
        if OMITTED in run.tags or not tagged(run.tags):
            self._unread.add(run.run_id)
        return tuple(_entry(path, value) for path, value in tagged(run.tags).items())

    def _add(self, run: Run, matches: Iterable[Match]) -> None:
        for path, value, role in matches:
            found = self._found.get(run.run_id)
            if found is None:
                found = self._found[run.run_id] = self._bare(run)
            if path not in found.roles:
                found.paths.append(path)
            found.roles[path] = role
            found.hashes[path] = value

    def _bare(self, run: Run) -> FoundRun:
        metrics = {name: run.metrics[name] for name in self._metrics if name in run.metrics}
        return FoundRun(
            run.run_id,
            run.name,
            run.experiment_id,
            run.start_time,
            run.tags.get("dvc.data_hash"),
            metrics=metrics,
        )

    def _findings(self, unlisted: Mapping[str, str] | None = None) -> Findings:
        runs = sorted(self._found.values(), key=lambda found: (-found.start_time, found.run_id))
        for found in runs:
            found.paths.sort()
        return Findings(runs, len(self._unread - self._found.keys()), dict(unlisted or {}))


def _made(run: Run) -> tuple[Entry, ...]:
    return tuple(_entry(path, value) for path, value in tagged(run.tags, OUT_PREFIX).items())


def _entry(path: str, value: str) -> Entry:
    """What a tag says of an out."""
    return Entry(path, "md5", value, isdir=value.endswith(DIR_SUFFIX))
