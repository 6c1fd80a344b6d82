"""What one run gets, when it begins and when it ends.

Every part is on its own: one that fails is said in a warning, and neither the
others nor the user's run hear of it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from mlflow_dvc_plugin.autologging import (
    artifacts as files,
)
from mlflow_dvc_plugin.autologging import (
    dvcignore as hiding,
)
from mlflow_dvc_plugin.autologging import (
    params,
    writer,
)
from mlflow_dvc_plugin.autologging import (
    results as outcome,
)
from mlflow_dvc_plugin.autologging.pipeline import Declared, declared
from mlflow_dvc_plugin.capturing.run_start import Current, current
from mlflow_dvc_plugin.state import DataState, Status
from mlflow_dvc_plugin.state.tags import error_tags

_logger = logging.getLogger("mlflow_dvc_plugin.autolog")

_STATUSES: tuple[Status, ...] = get_args(Status)

# Parts that failed in this process because a store did not answer: a search of
# hundreds of runs does not wait for it each time.
_failed: set[str] = set()


@dataclass(frozen=True)
class Parts:
    """What is to be logged."""

    datasets: bool = True
    artifacts: bool = True
    params: bool = True
    metrics: bool = True
    plots: bool = True
    silent: bool = False


@dataclass
class Recording:
    """A run that has begun.

    Attributes:
        run_id: the run.
        parts: what is logged of it.
        state: its data state; None if that could not be read.
        most: how many outs become datasets.
        declared: what ``dvc.yaml`` declares.
        params: values of the parameters as the run began.
        before: stamps of metrics and plots files as the run began; None if it
            began elsewhere.
        since_ns: when the run began.
        digest: one hash over the uploaded files; empty if there are none.
    """

    run_id: str
    parts: Parts
    state: DataState | None = None
    most: int = 0
    declared: Declared = field(default_factory=Declared)
    params: dict[str, str] = field(default_factory=dict)
    before: dict[str, outcome.Stamp] | None = None
    since_ns: int = 0
    digest: str = ""
    pid: int = field(default_factory=os.getpid)


def begin(
    client: Any, run: Any, parts: Parts, *, parent_digest: str = "", fresh: bool = True
) -> Recording | None:
    """Record what holds as a run begins.

    Args:
        client: the ``MlflowClient`` to write with.
        run: the run, an ``mlflow.entities.Run``.
        parts: what to log.
        parent_digest: digest of the files that the run's parent has: they are
            not uploaded again.
        fresh: the run was created just now; False for one that is resumed.

    Returns:
        None outside a project.
    """
    run_id, tags = run.info.run_id, run.data.tags
    tagged = "dvc.schema" in tags
    try:
        found = current(judge=not tagged)
    except Exception as err:  # noqa: BLE001 - nothing fails the run
        if not tagged:
            told = error_tags(str(err))
            _guarded("tags", parts, lambda: writer.tags(client, run_id, told))
        return None
    if found is None:
        return None
    if tagged:
        found = found._replace(state=_as_tagged(found.state, tags))
    recording = Recording(run_id, parts, found.state, found.settings.max_path_tags)
    recording.since_ns = time.time_ns() if fresh else (run.info.start_time or 0) * 1_000_000
    if not tagged:
        values = found.state.to_tags(found.settings.max_path_tags)
        _guarded("tags", parts, lambda: writer.tags(client, run_id, values))
    elif not fresh and tags.get("dvc.data_hash") != found.state.data_hash:
        _say(parts, f"run {run_id} keeps the data state that it began with, which is another")
        recording.state = None
        return recording
    _guarded("dvc.yaml", parts, lambda: _look(recording, found))
    if parts.artifacts and "artifacts" not in _failed:
        _guarded("artifacts", parts, lambda: _upload(client, run, recording, parent_digest, fresh))
    return recording


def end(client: Any, recording: Recording) -> None:
    """Record what a run had as input and made, where the user did not log it."""
    state, parts = recording.state, recording.parts
    if state is None:
        return
    try:
        run = client.get_run(recording.run_id)
    except Exception as err:  # noqa: BLE001 - nothing fails the run
        _say(parts, f"run {recording.run_id} cannot be read: {err}")
        return
    if parts.datasets:
        _guarded("datasets", parts, lambda: _log_datasets(client, recording, run))
    if parts.params:
        _guarded("params", parts, lambda: _log_params(client, recording, run.data.params))
    if parts.metrics:
        _guarded("metrics", parts, lambda: _log_metrics(client, recording, run.data.metrics))
    if parts.plots:
        _guarded("plots", parts, lambda: _log_plots(client, recording))


def _as_tagged(state: DataState, tags: Mapping[str, str]) -> DataState:
    """The state with the verdict on the workspace that the run has already."""
    status = tags.get("dvc.status")
    verdict: Status = next((known for known in _STATUSES if known == status), "unverified")
    modified = tuple(filter(None, tags.get("dvc.modified", "").split(",")))
    return replace(state, status=verdict, modified=modified)


def _look(recording: Recording, found: Current) -> None:
    state = found.state
    recording.declared = declared(state)
    if not state.project:
        return
    recording.params, said = params.read(state.project, recording.declared.params)
    for line in said:
        _say(recording.parts, line)
    paths = [*recording.declared.metrics, *recording.declared.plots]
    recording.before = outcome.stamps(state.project, paths)


def _upload(client: Any, run: Any, recording: Recording, parent_digest: str, fresh: bool) -> None:
    assert recording.state is not None
    collected = files.collect(recording.state, recording.declared.params)
    recording.digest = files.digest(collected)
    if recording.digest == parent_digest:
        return
    if fresh or not writer.has_artifact(client, recording.run_id, files.STATE_FILE):
        # What hides the files goes first: others may look at any moment.
        if not hiding.hide(recording.state, recording.run_id, run.info.artifact_uri):
            writer.text(client, recording.run_id, hiding.TEXT, hiding.NAME)
        writer.artifacts(client, run, collected)


def _log_datasets(client: Any, recording: Recording, run: Any) -> None:
    assert recording.state is not None
    inputs = getattr(run, "inputs", None)
    known = [item.dataset.digest for item in (inputs.dataset_inputs if inputs else ())]
    entries = writer.inputs_of(recording.state, recording.most)
    changed = set(recording.state.modified)
    for entry in entries:
        if entry.path in changed:
            _say(
                recording.parts,
                f"{entry.path} is not logged as a dataset: it was not what DVC recorded",
            )
    same = [entry for entry in entries if entry.path not in changed]
    writer.datasets(client, recording.run_id, recording.state, same, known)


def _log_params(client: Any, recording: Recording, known: dict[str, str]) -> None:
    for line in writer.params(client, recording.run_id, recording.params, known):
        _say(recording.parts, line)


def _written(recording: Recording, paths: list[str]) -> list[str]:
    assert recording.state is not None
    return outcome.written(recording.state.project, paths, recording.before, recording.since_ns)


def _log_metrics(client: Any, recording: Recording, known: dict[str, float]) -> None:
    assert recording.state is not None
    paths = _written(recording, recording.declared.metrics)
    found, said = outcome.metrics(recording.state.project, paths)
    for line in said:
        _say(recording.parts, line)
    writer.metrics(client, recording.run_id, found, known)


def _log_plots(client: Any, recording: Recording) -> None:
    assert recording.state is not None
    project = recording.state.project
    paths, said = outcome.small_enough(project, _written(recording, recording.declared.plots))
    for line in said:
        _say(recording.parts, line)
    writer.plots(client, recording.run_id, project, paths)


def _guarded(what: str, parts: Parts, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as err:  # noqa: BLE001 - nothing fails the run
        lines = str(err).strip().splitlines()
        _say(parts, f"{what} not logged: {lines[0] if lines else type(err).__name__}")
        _failed.add(what)


def _say(parts: Parts, line: str) -> None:
    if not parts.silent:
        _logger.warning("%s", line)
