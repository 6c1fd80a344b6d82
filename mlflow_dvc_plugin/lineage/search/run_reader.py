"""Reading the runs of a store, and what they recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlflow_dvc_plugin.lineage.recorded_states import RecordedStates
from mlflow_dvc_plugin.lineage.search.query import Query
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.tracking import Run, search_runs, search_runs_without


class RunReader:
    """Reads the runs of a query's experiments.

    Attributes:
        states: what the runs recorded.
    """

    def __init__(self, query: Query, root: str | None, progress: Progress) -> None:
        self._query = query
        self._progress = progress
        self.states = RecordedStates(root)

    def search(self, clause: str, phase: str = "Reading runs") -> Iterator[Run]:
        """The runs that meet a condition, the newest first."""
        self._progress.begin(phase, 0)
        runs = search_runs([clause], self._query.experiments, self._query.tracking_uri)
        return self._count(runs)

    def search_without(self, keys: Sequence[str], clause: str, phase: str) -> Iterator[Run]:
        """The runs that meet a condition and have none of these tags."""
        self._progress.begin(phase, 0)
        experiments, uri = self._query.experiments, self._query.tracking_uri
        return self._count(search_runs_without(keys, [clause], experiments, uri))

    def _count(self, runs: Iterator[Run]) -> Iterator[Run]:
        for run in runs:
            self._progress.advance(files=1)
            yield run
