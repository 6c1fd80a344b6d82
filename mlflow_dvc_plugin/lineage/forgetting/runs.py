"""The runs whose recorded states name the objects that are to be forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from mlflow_dvc_plugin.dvc.hashing import HASH_NAMES
from mlflow_dvc_plugin.lineage.forgetting.targets import Targets
from mlflow_dvc_plugin.lineage.recorded_states import (
    Entries,
    RecordedStates,
    Role,
    read_tagged_outs,
)
from mlflow_dvc_plugin.lineage.search.hash_lookup import HashLookup, Occurrence
from mlflow_dvc_plugin.lineage.search.results import RunCollector, SearchResult
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.tags import DATA_PREFIX, OUT_PREFIX
from mlflow_dvc_plugin.tracking import Run, search_runs, tag_clause

_BATCH = 1000  # runs


@dataclass(frozen=True)
class AffectedRuns:
    """The runs that rest on the objects.

    Attributes:
        outs: the outs that contain the objects, by the paths of the objects.
    """

    found: SearchResult
    outs: dict[str, Entry]


class RunScan:
    """Reads the recorded state of each run: all outs, and not only those that the run used."""

    def __init__(self, targets: Targets, lookup: HashLookup, states: RecordedStates) -> None:
        self._targets = targets
        self._lookup = lookup
        self._states = states
        self._collector = RunCollector(())
        self._outs: dict[str, Entry] = {}

    def find_runs(self, tracking_uri: str | None, progress: Progress) -> AffectedRuns:
        """Find the runs, the newest first."""
        progress.begin("Reading all runs", 0)
        runs = search_runs([tag_clause("dvc.data_hash")], tracking_uri=tracking_uri)
        # Many runs together, so that the listings of their folders are read in parallel.
        while batch := list(islice(runs, _BATCH)):
            outs = [(run, self._read_outs(run), read_tagged_outs(run, OUT_PREFIX)) for run in batch]
            self._lookup.read_folders(entries for _, *both in outs for entries in both)
            for run, recorded, made in outs:
                self._add_run(run, recorded, made)
            progress.advance(files=len(batch))
        found = self._collector.to_result(
            unread_folders=self._lookup.unread, unsearched=self._lookup.unsearched
        )
        return AffectedRuns(found, self._outs)

    def find_uses(self, entries: Entries) -> list[Occurrence]:
        """Where outs contain the objects: the outs themselves, and files in folders."""
        self._lookup.read_folders([entries])
        return [
            use
            for use in self._lookup.find_paths(entries)
            if use.out.hash_name in HASH_NAMES and self._targets.has(use.hash)
        ]

    def _read_outs(self, run: Run) -> Entries:
        outs = self._states.read_outs(run)
        if isinstance(outs, str):
            self._collector.add_unread(run)
            return read_tagged_outs(run, DATA_PREFIX)
        return outs

    def _add_run(self, run: Run, recorded: Entries, made: Entries) -> None:
        in_stage = "dvc.stage" in run.tags
        uses = self.find_uses(recorded)
        matches: list[tuple[str, str, Role]] = [
            (use.path, use.hash, "recorded" if in_stage and not use.out.input else "input")
            for use in uses
        ]
        matches += [(use.path, use.hash, "output") for use in self.find_uses(made)]
        self._outs.update((use.path, use.out) for use in uses)
        self._collector.add_run(run, matches)
