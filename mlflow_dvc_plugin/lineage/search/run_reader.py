"""Reading the runs of a store, and what they recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain

from mlflow_dvc_plugin.lineage.recorded_states import RecordedStates
from mlflow_dvc_plugin.lineage.search.query import Query
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.tracking import Run, search_runs, search_runs_without
from mlflow_dvc_plugin.tracking.background import start


class RunReader:
    """Reads the runs of a query's experiments.

    MLflow begins with a search at once, beside other searches, and goes on page by page
    when its runs are taken.

    Attributes:
        states: what the runs recorded.
    """

    def __init__(self, query: Query, root: str | None, progress: Progress) -> None:
        self._query = query
        self._progress = progress
        self.states = RecordedStates(root)

    def search(self, clause: str, phase: str = "Reading runs") -> Iterator[Run]:
        """The runs that meet a condition, the newest first."""
        return self._begin(
            search_runs([clause], self._query.experiments, self._query.tracking_uri), phase
        )

    def search_without(self, keys: Sequence[str], clause: str, phase: str) -> Iterator[Run]:
        """The runs that meet a condition and have none of these tags."""
        experiments, uri = self._query.experiments, self._query.tracking_uri
        return self._begin(search_runs_without(keys, [clause], experiments, uri), phase)

    def _begin(self, runs: Iterator[Run], phase: str) -> Iterator[Run]:
        return self._take(start(partial(next, runs, None)), runs, phase)

    def _take(self, first: Future[Run | None], runs: Iterator[Run], phase: str) -> Iterator[Run]:
        self._progress.begin(phase, 0)
        run = first.result()
        for each in () if run is None else chain([run], runs):
            self._progress.advance(files=1)
            yield each
