"""What the report of many runs says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mlflow_dvc_plugin.reporting.graph.builder import build_graph
from mlflow_dvc_plugin.reporting.page.data_states import Metric, UsedData, group_by_data
from mlflow_dvc_plugin.reporting.page.lanes import Chart, draw_chart
from mlflow_dvc_plugin.reporting.page.picture import Picture, draw_picture, fold_runs
from mlflow_dvc_plugin.reporting.recorded_runs import RecordedRun
from mlflow_dvc_plugin.tracking.models import Model
from mlflow_dvc_plugin.units import format_number

_MAX_SHAPES = 160


@dataclass(frozen=True)
class RunsReport:
    """Many runs.

    Attributes:
        title: what they have in common, such as the name of their experiment.
        models: the models that come from them.
        metric: what they are compared by.
        remarks: what the report does not show, in sentences.
    """

    title: str
    recorded: Sequence[RecordedRun]
    models: Sequence[Model] = ()
    metric: Metric | None = None
    remarks: Sequence[str] = ()

    @cached_property
    def states(self) -> list[UsedData]:
        """The states of data that the runs used, the oldest first."""
        return group_by_data(self.recorded, self.metric)

    @cached_property
    def chart(self) -> Chart:
        """The lanes."""
        return draw_chart(self.states, self.metric)

    @cached_property
    def best(self) -> RecordedRun | None:
        """The best of the runs."""
        return self.metric.find_best(self.recorded) if self.metric else None

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each run's data state, by the run's id."""
        return {
            each.run.run_id: number
            for number, data in enumerate(self.states, 1)
            for each in data.runs
        }

    @property
    def newest_first(self) -> list[RecordedRun]:
        """The runs."""
        return sorted(self.recorded, key=lambda each: (-each.run.start_time, each.run.run_id))

    @property
    def unread(self) -> list[RecordedRun]:
        """The runs whose data is not known."""
        return [each for each in self.recorded if each.state is None]

    @cached_property
    def shown_states(self) -> int:
        """How many of the newest states the picture has."""
        return self._drawn[0]

    @property
    def picture(self) -> Picture:
        """The lineage of the newest states: as many as are legible."""
        return self._drawn[1]

    @cached_property
    def _drawn(self) -> tuple[int, Picture]:
        count = len(self.states)
        while True:
            runs = [each for data in self.states[len(self.states) - count :] for each in data.runs]
            shown = {each.run.run_id for each in runs}
            models = [model for model in self.models if model.run_id in shown]
            graph = fold_runs(build_graph(runs, models), self._describe)
            if len(graph.nodes) <= _MAX_SHAPES or count <= 1:
                return count, draw_picture(graph)
            count = count * 2 // 3

    def _describe(self, run_ids: Sequence[str]) -> str:
        """The best score of some runs."""
        if self.metric is None:
            return ""
        best = self.metric.find_best(e for e in self.recorded if e.run.run_id in run_ids)
        value = self.metric.read(best) if best is not None else None
        return "" if value is None else f"{self.metric.name} {format_number(value)}"
