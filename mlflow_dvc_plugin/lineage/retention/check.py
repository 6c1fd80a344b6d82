"""Can runs be restored: is their data in the cache, in the remote, or nowhere?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import LineageError, ManifestError, RunNotFoundError, join_some
from mlflow_dvc_plugin.git import is_commit
from mlflow_dvc_plugin.lineage.listings import to_object
from mlflow_dvc_plugin.lineage.recorded_states import Entries, RecordedStates
from mlflow_dvc_plugin.lineage.retention.availability import Availability, Locator
from mlflow_dvc_plugin.lineage.retention.objects import ObjectIndex
from mlflow_dvc_plugin.lineage.retention.requirements import Requirement, find_pinned, find_unmet
from mlflow_dvc_plugin.lineage.revisions import find_run_or_commit
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.files.paths import is_external
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.restoring.run_data.models import read_model_out
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.forgotten_tag import FORGOTTEN, Forgotten, read_forgotten
from mlflow_dvc_plugin.state.objects import Obj
from mlflow_dvc_plugin.tracking import Run, search_runs
from mlflow_dvc_plugin.tracking.lookup import get_run
from mlflow_dvc_plugin.tracking.models import Registry

_SHOWN = 3


@dataclass(frozen=True)
class CheckedRun:
    """A run, and whether it can be restored: None if that is not known, for a reason.

    Attributes:
        lost: the objects that are nowhere.
        unmet: what else was required and is not met, and why.

    A commit of the project is checked as a run without an id.
    """

    run: Run
    restorable: bool | None
    reason: str
    outs: Sequence[Availability] = ()
    lost: frozenset[Obj] = frozenset()
    unmet: Mapping[str, str] = field(default_factory=dict)

    @property
    def passes(self) -> bool:
        """It can be restored and meets every requirement."""
        return bool(self.restorable) and not self.unmet

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        document: dict[str, Any] = {
            "run_id": self.run.run_id or None,
            "restorable": self.restorable,
            "reason": self.reason,
            "entries": [out.to_dict() for out in self.outs],
        }
        if not self.run.run_id:
            document["revision"] = self.run.name
        if self.unmet:
            document["unmet"] = dict(self.unmet)
        if self.run.model is not None:
            document["model"] = self.run.model.to_dict()
        if self.run.modified:
            document["modified"] = list(self.run.modified)
        if self.run.changed:
            document["changed"] = list(self.run.changed)
        if FORGOTTEN in self.run.tags:
            document["forgotten"] = self.run.tags[FORGOTTEN]
        return document


def check(
    runs: Sequence[str] = (),
    *,
    experiments: Sequence[str] = (),
    model: str | None = None,
    alias: str | None = None,
    required: Sequence[Requirement] = (),
    tracking_uri: str | None,
    progress: Progress,
) -> Iterator[CheckedRun]:
    """Find out where the data of runs is; each object is looked for once for all runs.

    `runs` are texts that :func:`find_run_or_commit` accepts.

    With `model`, the runs are those that the versions of a registered model come from,
    or only the version with `alias`.

    The cache is judged by the bytes of its objects, a remote by their names, as DVC
    does. Imports that neither has are looked for where they came from, and
    cloud-versioned outs by their versions. Data is not downloaded.

    A run that started on modified data which was not saved cannot be restored:
    no place has what it read.
    """
    root = find_root()
    recorded = RecordedStates(root)
    found = (_find_named(text, tracking_uri, recorded) for text in runs)
    if experiments:
        listed = search_runs((), experiments, tracking_uri)
        found = ((run, _read_outs(recorded, run)) for run in listed)
    if model is not None:
        versions = _find_model_runs(model, alias, tracking_uri)
        found = ((run, reason or _read_outs(recorded, run)) for run, reason in versions)
    progress.begin("Reading runs", 0)
    states: list[tuple[Run, Entries | str]] = []
    for each in found:
        states.append(each)
        progress.advance(files=1)
    if not states:
        what = (
            f"model {model} has no versions" if model else f"{', '.join(experiments)} has no runs"
        )
        raise LineageError(f"There is nothing to check: {what}.")
    pinned = find_pinned(root) if "pinned" in required else ()
    for checked in judge_runs(root, states, progress):
        unmet = find_unmet(checked.run, checked.outs, required, pinned)
        yield replace(checked, unmet=unmet) if unmet else checked


def _find_named(
    text: str, tracking_uri: str | None, recorded: RecordedStates
) -> tuple[Run, Entries | str]:
    """The run or commit that a user means, with its outs, or why they cannot be read."""
    found = find_run_or_commit(text, tracking_uri)
    if isinstance(found, Run):
        return found, _read_outs(recorded, found)
    commit = Run("", text, "", 0, {"dvc.git_commit": found.git_commit or ""})
    return commit, found.entries


def _read_outs(recorded: RecordedStates, run: Run) -> Entries | str:
    """A run's outs, with the out that the model itself is."""
    try:
        model = read_model_out(run)
    except ManifestError as err:
        return str(err)
    outs = recorded.read_outs(run)
    return outs if model is None or isinstance(outs, str) else (*outs, model)


def _find_model_runs(
    name: str, alias: str | None, tracking_uri: str | None
) -> Iterator[tuple[Run, str]]:
    """The runs that versions of a model come from, or why there is none."""
    registry = Registry(tracking_uri)
    versions = registry.list_versions(name)
    for model in [registry.find_model(f"models:/{name}@{alias}")] if alias else versions:
        try:
            if not model.run_id:
                raise RunNotFoundError("it does not say which run it comes from")
            run, reason = get_run(model.run_id, tracking_uri), ""
        except RunNotFoundError as err:
            run, reason = Run(model.run_id, "", "", 0, {}), str(err).rstrip(".")
        yield replace(run, model=model), reason


def judge_runs(
    root: str, runs: Sequence[tuple[Run, Entries | str]], progress: Progress
) -> Iterator[CheckedRun]:
    """Find out where the data of runs is, by their recorded outs."""
    distinct = {id(state): state for _, state in runs if not isinstance(state, str)}
    with closing(DvcProject(root)) as dvc:
        data = [e for state in distinct.values() for e in state if e.cached and e.hash]
        index = ObjectIndex(dvc, data, progress)
        locator = Locator(dvc, index, progress)
        # Runs of the same state share its outs.
        located: dict[tuple[int, str | None], tuple[list[Availability], frozenset[Obj]]] = {}
        for run, state in runs:
            if isinstance(state, str):
                yield _judge_run(run, False, state)
                continue
            commit = run.tags.get("dvc.git_commit", "")
            has_sources = any(e.kind != "plain" for e in state)
            key = id(state), commit if has_sources and is_commit(commit) else None
            if key not in located:
                entries = [e for e in state if e.cached and e.hash]
                outs = [locator.locate(e, key[1]) for e in entries]
                located[key] = outs, _find_lost(index, entries, outs)
            outs, lost = located[key]
            forgotten = read_forgotten(run.tags)
            yield _judge_run(run, *_judge_outs(outs, len(lost), forgotten), outs, lost)


def _find_lost(
    index: ObjectIndex, entries: Sequence[Entry], outs: Sequence[Availability]
) -> frozenset[Obj]:
    """The objects that are nowhere: several paths may have the same one."""
    return frozenset(
        index.find_objects(e).get(path, to_object(e))
        for e, out in zip(entries, outs, strict=True)
        for path in out.missing
    )


def _judge_outs(
    outs: Sequence[Availability], lost: int, forgotten: Forgotten
) -> tuple[bool | None, str]:
    """Can a state with these outs be restored? The reason is empty if it can.

    `lost` is the number of objects that are nowhere.
    """
    if not outs:
        return False, "it recorded no data"
    missing = [path for out in outs for path in out.missing]
    if forgotten.explains(lost):
        return False, f"{forgotten.describe()}: {join_some(missing, _SHOWN)}"
    some = ""
    if forgotten.total:
        verb = "was" if forgotten.total == 1 else "were"
        some = f"; {forgotten.total} of these objects {verb} {forgotten.describe()}"
    external = [out.path for out in outs if is_external(out.path)]
    for paths, reason in (
        (missing, "neither in the cache nor in the remote"),
        (external, "outside the project, where a restore does not write"),
    ):
        if paths:
            note = some if paths is missing else ""
            return False, f"{reason}: {join_some(paths, _SHOWN)}{note}"
    unknown = [f"{out.path}: {out.unknown}" for out in outs if out.unknown]
    return (None, join_some(unknown, 1)) if unknown else (True, "")


def _judge_run(
    run: Run,
    restorable: bool | None,
    reason: str,
    outs: Sequence[Availability] = (),
    lost: frozenset[Obj] = frozenset(),
) -> CheckedRun:
    if run.tags.get("dvc.status") == "modified":
        paths = f": {join_some(run.modified, _SHOWN)}" if run.modified else ""
        modified = f"its data was modified when it started, and was not saved{paths}"
        reason = f"{modified}; {reason}" if restorable is False else modified
        restorable = False
    return CheckedRun(run, restorable, reason, outs, lost)
