"""The door to MLflow: from what a user writes to a run, and to its recorded state.

Everything that asks MLflow goes through here, and comes out as our own values
and errors.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from mlflow_dvc_plugin import manifest
from mlflow_dvc_plugin.errors import (
    GitError,
    MlflowDvcError,
    NoRecordedStateError,
    RunNotFoundError,
    TrackingError,
)
from mlflow_dvc_plugin.state import DataState, Entry, Status
from mlflow_dvc_plugin.tags import MANIFEST, manifest_parts

_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}\Z")
_STATUSES: tuple[Status, ...] = ("clean", "modified", "missing", "unverified")
_FULL_ID_LENGTH = 32
_PAGE = 1000
_EXPERIMENTS_AT_ONCE = 100
_TAGS_AT_ONCE = 100  # the most that MLflow takes
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+ -]+")
_KEY = re.compile(r"[A-Za-z0-9_./ -]+")
_SHOWN_CANDIDATES = 5


@dataclass(frozen=True)
class Run:
    """One MLflow run.

    Attributes:
        run_id: its id.
        name: its name.
        experiment_id: the experiment that it belongs to.
        start_time: milliseconds since 1970 (UTC).
        tags: all its tags.
        metrics: the last value of each of its metrics.
        status: ``RUNNING``, ``FINISHED``, ``FAILED``, …
        end_time: milliseconds since 1970 (UTC); None while it runs.
        store: URI of the MLflow store that it is in; empty for none.
    """

    run_id: str
    name: str
    experiment_id: str
    start_time: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    status: str = ""
    end_time: int | None = None
    store: str = ""


def search(
    clauses: Sequence[str] = (),
    experiments: Sequence[str] = (),
    tracking_uri: str | None = None,
) -> Iterator[Run]:
    """All runs that meet each clause, the newest first, however many pages they take.

    Args:
        clauses: conditions in MLflow's filter language, made by :func:`tag_is`
            and :func:`has_tag`.
        experiments: names of experiments; none for all of them.
        tracking_uri: the MLflow store; None for MLflow's own choice.

    Raises:
        RunNotFoundError: there is no such experiment.
        TrackingError: the store did not answer.
    """
    client = _client(tracking_uri)
    ids = _experiment_ids(client, experiments)
    filter_string = " AND ".join(clauses)
    chunks = [
        _newest_first(client, ids[start : start + _EXPERIMENTS_AT_ONCE], filter_string)
        for start in range(0, len(ids), _EXPERIMENTS_AT_ONCE)
    ]
    if len(chunks) == 1:
        return chunks[0]
    return heapq.merge(*chunks, key=lambda run: -run.start_time)


def tag_is(key: str, value: str) -> str:
    """The clause for a tag's value.

    MLflow's filters know no escapes: a value that they could misread is left
    to the caller, who sees each run's tags, and the clause only asks for the tag.
    """
    return f"tags.`{key}` = '{value}'" if _PLAIN.fullmatch(value) else has_tag(key)


def has_tag(key: str) -> str:
    """The clause for a tag that is there, whatever its value.

    Raises:
        ValueError: `key` has characters that no key of ours has.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} cannot stand in a filter")
    return f"tags.`{key}` != ''"


def write_tags(
    run_id: str,
    tags: Mapping[str, str],
    remove: Iterable[str] = (),
    tracking_uri: str | None = None,
) -> None:
    """Set tags of a run, and take others away.

    Raises:
        TrackingError: the store did not answer, or refused.
    """
    client = _client(tracking_uri)
    from mlflow.entities import RunTag

    items = [RunTag(key, value) for key, value in tags.items()]
    try:
        for start in range(0, len(items), _TAGS_AT_ONCE):
            client.log_batch(run_id, tags=items[start : start + _TAGS_AT_ONCE])
        for key in remove:
            client.delete_tag(run_id, key)
    except Exception as err:
        raise _tracking_error(err) from err


def find_run(text: str, tracking_uri: str | None = None) -> Run:
    """The run that a user means.

    Args:
        text: a run id, a unique prefix of one, ``runs:/ID``,
            ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
        tracking_uri: the MLflow store; None for MLflow's own choice.

    Raises:
        RunNotFoundError: there is no such run, or more than one.
        TrackingError: the store did not answer.
    """
    client = _client(tracking_uri)
    if text.startswith("models:/"):
        return _get(client, _run_of_model(client, text))
    wanted = text.removeprefix("runs:/").split("/")[0]
    if not _ID.match(wanted):
        raise RunNotFoundError(
            f"{text!r} is not a run: give a run id or a prefix of one, runs:/ID, "
            "models:/NAME/VERSION or models:/NAME@ALIAS."
        )
    if len(wanted) >= _FULL_ID_LENGTH:
        return _get(client, wanted)
    found = list(_with_prefix(client, wanted))
    if not found:
        raise RunNotFoundError(
            f"No run of this store has an id that starts with {wanted!r}: check --tracking-uri "
            "or MLFLOW_TRACKING_URI."
        )
    if len(found) > 1:
        shown = ", ".join(f"{run.run_id} ({run.name})" for run in found[:_SHOWN_CANDIDATES])
        more = len(found) - _SHOWN_CANDIDATES
        raise RunNotFoundError(
            f"{wanted!r} is the start of {len(found)} run ids: {shown}"
            + (f" and {more} more." if more > 0 else ".")
        )
    return found[0]


def load_state(
    run: str | Run, tracking_uri: str | None = None, project: str | None = None
) -> DataState:
    """The data state that a run recorded.

    Args:
        run: the run, or what :func:`find_run` takes.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: absolute path of the project that the run's commit is in, for
            states that need it; None for the one at the working directory.

    Returns:
        The state, with `source` telling where it was read. Its paths are what
        the tags say, and not yet checked for where they lead.

    Raises:
        NoRecordedStateError: the run has no state that can be believed.
    """
    if isinstance(run, str):
        run = find_run(run, tracking_uri)
    tags = run.tags
    if "dvc.schema" not in tags:
        raise NoRecordedStateError(
            f"Run {run.run_id} has no DVC tags: it was started outside a DVC project, without "
            "the plugin, or through MlflowClient."
        )
    if "dvc.error" in tags:
        raise NoRecordedStateError(
            f"Run {run.run_id} has no data state, since capture failed: {tags['dvc.error']}"
        )
    if tags["dvc.schema"] != "1":
        raise NoRecordedStateError(
            f"Run {run.run_id} has DVC tags of schema {tags['dvc.schema'][:20]!r}: update "
            "mlflow-dvc-plugin."
        )
    failed: list[MlflowDvcError] = []
    for read in (_from_manifest, _from_artifacts, _from_commit):
        try:
            state = read(run, project)
        except MlflowDvcError as err:
            failed.append(err)
            continue
        if state is None:
            continue
        if state.data_hash == tags.get("dvc.data_hash"):
            return state
        failed.append(_changed(run, state))
    # The first is the one that should have worked.
    raise failed[0]


def _changed(run: Run, state: DataState) -> NoRecordedStateError:
    return NoRecordedStateError(
        f"Run {run.run_id}: the state recorded in its {state.source} has the fingerprint "
        f"{state.data_hash}, its dvc.data_hash is {run.tags.get('dvc.data_hash')!r}: its tags "
        "were changed, so nothing is restored from them."
    )


def _from_manifest(run: Run, project: str | None) -> DataState | None:
    if MANIFEST not in run.tags:
        return None
    found = manifest.parse(manifest_parts(run.tags))
    entries = found.entries
    if not found.complete:
        base = {e.path: e for e in _commit_state(run, project).entries}
        for path in found.removed:
            base.pop(path, None)
        base.update((e.path, e) for e in entries)
        entries = tuple(sorted(base.values()))
    return replace(
        _scalars(run, entries),
        metafiles=found.metafiles,
        pipelines=found.pipelines,
        source="manifest",
    )


def _from_artifacts(run: Run, _: str | None) -> DataState | None:
    if not run.store:
        return None
    from mlflow_dvc_plugin.artifacts import state_of

    client = _client(run.store)
    # A nested run leaves the files to its parent, if that has the same.
    for run_id in (run.run_id, run.tags.get("mlflow.parentRunId")):
        try:
            state = state_of(client, run_id) if run_id else None
        except MlflowDvcError:
            raise
        except Exception as err:
            raise _tracking_error(err) from err
        if state is not None and state.data_hash == run.tags.get("dvc.data_hash"):
            return replace(
                _scalars(run, state.entries),
                metafiles=state.metafiles,
                pipelines=state.pipelines,
                source="artifacts",
            )
    return None


def _from_commit(run: Run, project: str | None) -> DataState:
    state = _commit_state(run, project)
    scalars = _scalars(run, state.entries)
    return replace(scalars, metafiles=state.metafiles, source="commit")


def _commit_state(run: Run, project: str | None) -> DataState:
    from mlflow_dvc_plugin.capture import find_project
    from mlflow_dvc_plugin.git import state_at

    commit = run.tags.get("dvc.git_commit")
    here = project or find_project()
    if commit is None:
        raise NoRecordedStateError(
            f"Run {run.run_id} has neither a manifest nor a Git commit: its data is unknown."
        )
    if here is None:
        raise NoRecordedStateError(
            f"Run {run.run_id} needs the metafiles of Git commit {commit[:12]}: go to its project."
        )
    try:
        return state_at(here, commit)
    except GitError as err:
        raise NoRecordedStateError(f"Run {run.run_id} needs its Git commit: {err}") from err


def _scalars(run: Run, entries: tuple[Entry, ...]) -> DataState:
    tags = run.tags
    said = tags.get("dvc.status")
    return DataState(
        root=tags.get("dvc.root", "."),
        entries=entries,
        lock_hash=tags.get("dvc.lock_hash"),
        git_commit=tags.get("dvc.git_commit"),
        status=next((status for status in _STATUSES if status == said), "unverified"),
        modified=tuple(filter(None, tags.get("dvc.modified", "").split(","))),
        stage=tags.get("dvc.stage"),
        exp_name=tags.get("dvc.exp_name"),
        exp_baseline=tags.get("dvc.exp_baseline"),
        remote=tags.get("dvc.remote"),
    )


def _client(tracking_uri: str | None) -> Any:
    # By default MLflow asks a dead server for minutes; a person waits here.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    from mlflow.tracking import MlflowClient

    try:
        return MlflowClient(tracking_uri=tracking_uri)
    except Exception as err:
        raise _tracking_error(err) from err


def _get(client: Any, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_run(run_id)
    except MlflowException as err:
        if err.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise RunNotFoundError(
                f"This store has no run {run_id}: check --tracking-uri or MLFLOW_TRACKING_URI."
            ) from err
        raise _tracking_error(err) from err
    except Exception as err:
        raise _tracking_error(err) from err
    if found.info.lifecycle_stage == "deleted":
        raise RunNotFoundError(
            f"Run {run_id} is deleted: bring it back with `mlflow runs restore --run-id {run_id}`."
        )
    return _to_run(found, client)


def _experiment_ids(client: Any, names: Sequence[str]) -> list[str]:
    if not names:
        found = _pages(lambda token: client.search_experiments(page_token=token))
        return [experiment.experiment_id for experiment in found]
    ids = []
    for name in dict.fromkeys(names):
        try:
            experiment = client.get_experiment_by_name(name)
        except Exception as err:
            raise _tracking_error(err) from err
        if experiment is None or experiment.lifecycle_stage == "deleted":
            raise RunNotFoundError(
                f"This store has no experiment {name!r}: check the name, and --tracking-uri or "
                "MLFLOW_TRACKING_URI."
            )
        ids.append(experiment.experiment_id)
    return ids


def _newest_first(client: Any, ids: Sequence[str], filter_string: str) -> Iterator[Run]:
    order = ["attributes.start_time DESC"]
    ask = partial(client.search_runs, ids, filter_string, max_results=_PAGE, order_by=order)
    seen: set[str] = set()
    # A run that starts meanwhile moves the others on, some of them to the next page.
    for found in _pages(lambda token: ask(page_token=token)):
        if found.info.run_id not in seen:
            seen.add(found.info.run_id)
            yield _to_run(found, client)


def _with_prefix(client: Any, prefix: str) -> Iterator[Run]:
    experiments = _pages(lambda token: client.search_experiments(page_token=token))
    ids = [experiment.experiment_id for experiment in experiments]
    # "_" stands for any character in LIKE, so the prefix is checked once more.
    clause = f"attributes.run_id LIKE '{prefix}%'"
    for start in range(0, len(ids), 100):
        search = partial(client.search_runs, ids[start : start + 100], clause, max_results=_PAGE)
        for found in _pages(lambda token, search=search: search(page_token=token)):  # type: ignore[misc]
            if found.info.run_id.startswith(prefix):
                yield _to_run(found, client)


def _run_of_model(client: Any, text: str) -> str:
    match = re.match(r"models:/([^/@]+)(?:/([^/@]+)|@([^/@]+))\Z", text)
    if match is None:
        raise RunNotFoundError(f"{text!r}: write models:/NAME/VERSION or models:/NAME@ALIAS.")
    name, version, alias = match.groups()
    from mlflow.exceptions import MlflowException

    try:
        if alias:
            found = client.get_model_version_by_alias(name, alias)
        else:
            found = client.get_model_version(name, version)
    except MlflowException as err:
        if err.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise RunNotFoundError(f"The model registry has no {text}.") from err
        raise _tracking_error(err) from err
    except Exception as err:
        raise _tracking_error(err) from err
    if not found.run_id:
        raise RunNotFoundError(f"{text} does not say which run made it.")
    return str(found.run_id)


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    token: str | None = None
    while True:
        try:
            page = ask(token)
        except Exception as err:
            raise _tracking_error(err) from err
        yield from page
        token = page.token
        if not token:
            return


def _tracking_error(err: Exception) -> TrackingError:
    lines = str(err).strip().splitlines()
    return TrackingError(
        f"The MLflow store did not answer: {lines[0] if lines else type(err).__name__}"
    )


def _to_run(found: Any, client: Any) -> Run:
    info = found.info
    return Run(
        run_id=info.run_id,
        name=info.run_name or "",
        experiment_id=info.experiment_id,
        start_time=info.start_time or 0,
        tags=dict(found.data.tags),
        metrics=dict(found.data.metrics),
        status=info.status or "",
        end_time=info.end_time,
        store=client.tracking_uri or "",
    )
