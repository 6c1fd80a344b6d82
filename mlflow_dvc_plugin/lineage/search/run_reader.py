"""Reading runs from the store, and the outs that they used and made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlflow_dvc_plugin.lineage.recorded_states import Entries, RecordedStates
from mlflow_dvc_plugin.lineage.search.query import Query
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX
from mlflow_dvc_plugin.state.tags import DATA_PREFIX
from mlflow_dvc_plugin.tracking import Run, search_runs, search_runs_without

OMITTED = "dvc.data_omitted"


class RunReader:
    """Reads the runs of a query's experiments, and what they recorded."""

    def __init__(self, query: Query, root: str | None, progress: Progress) -> None:
        self._query = query
        self._states = RecordedStates(root)
        self._progress = progress

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

    def read_recorded_outs(self, run: Run) -> Entries | None:
        """The outs that a run used, from its recorded state; None if that cannot be read."""
        return self._states.read_used_outs(run)

    def read_used_outs(self, run: Run) -> tuple[Entries, bool]:
        """The outs that a run used, as far as they can be known, and whether these are all."""
        entries = self.read_recorded_outs(run)
        if entries is not None:
            return entries, True
        outs = read_tagged_outs(run, DATA_PREFIX)
        return outs, bool(outs) and OMITTED not in run.tags


def read_tagged_outs(run: Run, prefix: str) -> Entries:
    """The outs that a run's tags name, with the path in the key."""
    return tuple(
        Entry(key[len(prefix) :], "md5", value, isdir=value.endswith(DIR_SUFFIX))
        for key, value in run.tags.items()
        if key.startswith(prefix)
    )
