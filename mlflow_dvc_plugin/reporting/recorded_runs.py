"""What runs recorded, with the stages that made their data."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.capturing.formats.pipeline import parse_lock
from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.lineage.recorded_states import read_tagged_outs
from mlflow_dvc_plugin.restoring.metafiles.run_metafiles import RunMetafiles
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX
from mlflow_dvc_plugin.state.tags import OUT_PREFIX
from mlflow_dvc_plugin.tracking import Run


class Step(NamedTuple):
    """A stage that made data of a run, as ``dvc.lock`` recorded it.

    Attributes:
        deps: the data that it read; code is not data.
    """

    address: str
    deps: tuple[Entry, ...]
    outs: tuple[Entry, ...]


@dataclass(frozen=True)
class RecordedRun:
    """A run, and what it recorded.

    Attributes:
        state: None if it cannot be read; `reason` says why.
        steps: the stages that made its data.
    """

    run: Run
    state: DataState | None
    reason: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def used(self) -> Sequence[Entry]:
        """The data that the run used."""
        return self.state.used_entries() if self.state is not None else ()

    @property
    def made(self) -> Sequence[Entry]:
        """The data that the run's stage made, if ``link`` found it."""
        return read_tagged_outs(self.run, OUT_PREFIX)


def read_runs(runs: Iterable[Run], project: str | None) -> Iterator[RecordedRun]:
    """Read what runs recorded. Runs on the same data share one state.

    `project` is the folder of the project that has the runs' commits, if there is one.
    """
    states: dict[Hashable, tuple[DataState, tuple[Step, ...]]] = {}
    facts = ("dvc.data_hash", "dvc.lock_hash", "dvc.stage", "dvc.inputs_hash", "dvc.git_commit")
    for run in runs:
        key = tuple(run.tags.get(name) for name in facts)
        if key not in states:
            try:
                state = load_state(run, project=project)
            except MlflowDvcError as err:
                yield RecordedRun(run, None, str(err))
                continue
            states[key] = state, tuple(find_steps(state.entries, state.metafiles))
        state, steps = states[key]
        status: Any = run.tags.get("dvc.status", "unverified")
        own = state._replace(status=status, modified=run.modified)
        yield RecordedRun(run, own, "", steps)


def read_metafiles(recorded: Sequence[RecordedRun]) -> dict[str, bytes]:
    """The metafiles of the first run whose state can be read: a ``dvc.yaml`` only from Git."""
    state = next((each.state for each in recorded if each.state is not None), None)
    if state is None:
        return {}
    root, files = find_project(), dict(state.metafiles)
    pipelines = RunMetafiles(root, state).find_changed_pipelines({}) if root else {}
    return {**files, **{path: data for path, data in pipelines.items() if data is not None}}


def find_steps(entries: Sequence[Entry], metafiles: Mapping[str, bytes]) -> Iterator[Step]:
    """The stages that made the outs.

    Where a ``dvc.lock`` among the metafiles has a stage with exactly these outs, its deps
    are known, with the hashes that they had when it ran.
    """
    is_data = _select_data(entries)
    by_stage: dict[str, list[Entry]] = {}
    for e in entries:
        if e.stage is not None and e.hash:
            by_stage.setdefault(e.stage, []).append(e)
    locks: dict[str, Mapping[str, Any]] = {}
    for address, outs in by_stage.items():
        lockfile, name = outs[0].metafile, address.rpartition(":")[2]
        if lockfile not in locks:
            locks[lockfile] = _parse(metafiles.get(lockfile))
        record = locks[lockfile].get(name, {})
        folder = posixpath.dirname(lockfile)
        deps: tuple[Entry, ...] = ()
        if _has_outs(record, folder, outs):
            found = (_to_entry(item, folder) for item in record.get("deps") or ())
            deps = tuple(e for e in found if e is not None and is_data(e.path))
        yield Step(address, deps, tuple(outs))


def _parse(data: bytes | None) -> Mapping[str, Any]:
    try:
        return parse_lock(data) if data is not None else {}
    except MlflowDvcError:
        return {}


def _has_outs(record: Mapping[str, Any], folder: str, outs: Iterable[Entry]) -> bool:
    locked = {
        (e.path, e.hash) for item in record.get("outs") or () if (e := _to_entry(item, folder))
    }
    return all((e.path, e.hash) in locked for e in outs)


def _to_entry(item: Mapping[str, Any], folder: str) -> Entry | None:
    """An item of ``dvc.lock`` as an out; None without a hash."""
    name = next((name for name in ("md5", "etag", "checksum") if item.get(name)), None)
    if name is None:
        return None
    path, value = str(item["path"]), str(item[name])
    if "://" not in path:
        path = posixpath.normpath(posixpath.join(folder, path))
    hash_name = name if name != "md5" or item.get("hash") == "md5" else "md5-dos2unix"
    size, nfiles = item.get("size"), item.get("nfiles")
    return Entry(path, hash_name, value, size, nfiles, isdir=value.endswith(DIR_SUFFIX))


def _select_data(entries: Iterable[Entry]) -> Callable[[str], bool]:
    """Is a dep data: is it an out, in one, or has it some in it? All others are code."""
    paths = {e.path for e in entries}
    folders = {folder for path in paths for folder in _list_folders(path)}
    return lambda path: (
        path in paths or path in folders or not paths.isdisjoint(_list_folders(path))
    )


def _list_folders(path: str) -> list[str]:
    """The folders that a path is in."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
