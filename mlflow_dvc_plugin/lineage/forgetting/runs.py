"""The runs whose recorded states name the objects that are to be forgotten."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from mlflow_dvc_plugin.dvc.hashing import HASH_NAMES
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.lineage.forgetting.folders import FolderIndex
from mlflow_dvc_plugin.lineage.forgetting.targets import Targets
from mlflow_dvc_plugin.lineage.recorded_states import Entries, RecordedStates, Role
from mlflow_dvc_plugin.lineage.search.results import RunCollector, SearchResult
from mlflow_dvc_plugin.lineage.search.run_reader import read_tagged_outs
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.forgotten_tag import FORGOTTEN, Forgotten, read_forgotten
from mlflow_dvc_plugin.state.tags import DATA_PREFIX, OUT_PREFIX
from mlflow_dvc_plugin.tracking import Run, search_runs, tag_clause

_NEEDED = ("dvc.data_hash", "dvc.status", "dvc.modified", "dvc.stage", FORGOTTEN)


class Use(NamedTuple):
    """The path of one of the objects in a state, and the out that it is, or is in."""

    path: str
    hash: str
    out: Entry


@dataclass(frozen=True)
class AffectedRuns:
    """The runs that rest on the objects.

    Attributes:
        forgotten: what was forgotten of each before, by run id.
        outs: the outs that contain the objects, by path.
    """

    found: SearchResult
    forgotten: dict[str, Forgotten]
    outs: dict[str, Entry]


class RunScan:
    """Reads the recorded state of each run: all outs, and not only those that the run used."""

    def __init__(self, targets: Targets, folders: FolderIndex, states: RecordedStates) -> None:
        self._targets = targets
        self._folders = folders
        self._states = states
        self._collector = RunCollector(())
        self._forgotten: dict[str, Forgotten] = {}
        self._outs: dict[str, Entry] = {}
        # Runs of the same state share its tuple. It is kept here so that its id stays its own.
        self._uses: dict[int, tuple[Entries, list[Use]]] = {}
        self._waiting: list[tuple[Run, Entries, Entries]] = []

    def find_runs(
        self, dvc: DvcProject, tracking_uri: str | None, progress: Progress
    ) -> AffectedRuns:
        """Find the runs, the newest first."""
        progress.begin("Reading all runs", 0)
        for run in search_runs([tag_clause("dvc.data_hash")], tracking_uri=tracking_uri):
            progress.advance(files=1)
            outs = self._states.read_outs(run)
            if isinstance(outs, str):
                self._collector.add_unread(run)
                outs = read_tagged_outs(run, DATA_PREFIX)
            made = read_tagged_outs(run, OUT_PREFIX)
            self._add_run(run, outs, made)
            if not all(self._folders.knows(str(e.hash)) for e in (*outs, *made)):
                tags = {key: run.tags[key] for key in _NEEDED if key in run.tags}
                self._waiting.append((replace(run, tags=tags, metrics={}), outs, made))
        # The folders that no place has listed are read together, and each once.
        entries = [e for _, *both in self._waiting for outs in both for e in outs if e.hash]
        self._folders.add_outs(dvc, entries)
        self._uses.clear()
        for run, outs, made in self._waiting:
            self._add_run(run, outs, made)
        result = self._collector.to_result(unread_folders=self._folders.unread)
        return AffectedRuns(result, self._forgotten, self._outs)

    def _add_run(self, run: Run, outs: Entries, made: Entries) -> None:
        used: Role = "recorded" if "dvc.stage" in run.tags else "input"
        uses = self._find_uses(outs)
        matches = [(use.path, use.hash, "input" if use.out.input else used) for use in uses]
        matches += [
            (use.path, use.hash, "output") for use in find_uses(self._targets, self._folders, made)
        ]
        if matches:
            self._forgotten[run.run_id] = read_forgotten(run.tags)
            self._outs.update((use.path, use.out) for use in uses)
        self._collector.add_run(run, matches)

    def _find_uses(self, entries: Entries) -> list[Use]:
        key = id(entries)
        if key not in self._uses:
            self._uses[key] = entries, list(find_uses(self._targets, self._folders, entries))
        return self._uses[key][1]


def find_uses(targets: Targets, folders: FolderIndex, entries: Iterable[Entry]) -> Iterator[Use]:
    """Where outs contain the objects: the outs themselves, and files in those that are folders."""
    for e in entries:
        if e.hash_name not in HASH_NAMES or not e.hash:
            continue
        if targets.has(e.hash):
            yield Use(e.path, e.hash, e)
        for name, value in folders.find_files(e.hash).items():
            yield Use(posixpath.join(e.path, name), value, e)
