"""What the report of one run says."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_dvc_plugin.lineage.diff import Diff, compare_states
from mlflow_dvc_plugin.lineage.retention.check import CheckedRun
from mlflow_dvc_plugin.reporting.graph.nodes import Graph
from mlflow_dvc_plugin.reporting.page.out_tree import Row, build_tree
from mlflow_dvc_plugin.reporting.page.picture import Picture, draw_picture
from mlflow_dvc_plugin.reporting.page.pipeline import find_pipeline
from mlflow_dvc_plugin.reporting.recorded_runs import RecordedRun
from mlflow_dvc_plugin.state import DataState

_MAX_METRICS = 12
_STATUSES = {
    "clean": "The workspace held exactly this data when the run started.",
    "saved": "The data had been edited when the run started. It was saved: this is what the run "
    "really read.",
    "modified": "The data had been edited when the run started, and was not saved: nobody has what "
    "the run read at the paths below.",
    "missing": "Some of this data was not in the workspace when the run started.",
    "unverified": "It was not checked in time whether the workspace held this data when the run "
    "started.",
    "unknown": "It is not known what data this run used.",
}


@dataclass(frozen=True)
class RunReport:
    """One run.

    Attributes:
        graph: its lineage.
        experiment: the name of its experiment.
        previous: the run before it in the same experiment, and in the same stage.
        workspace: the data of the project now, as its metafiles say.
        checked: whether it can be restored; None if nobody looked.
    """

    recorded: RecordedRun
    graph: Graph
    experiment: str = ""
    previous: RecordedRun | None = None
    workspace: DataState | None = None
    checked: CheckedRun | None = None

    @property
    def status(self) -> str:
        """The run's ``dvc.status``."""
        return self.recorded.state.status if self.recorded.state is not None else "unknown"

    @property
    def sentence(self) -> str:
        """The status in words."""
        return _STATUSES[self.status]

    @property
    def metrics(self) -> Sequence[tuple[str, float]]:
        """The run's first metrics by name."""
        return sorted(self.recorded.run.metrics.items())[:_MAX_METRICS]

    @property
    def picture(self) -> Picture:
        """The lineage."""
        return draw_picture(self.graph)

    @property
    def pipeline(self) -> Picture:
        """The stages around the run's own."""
        state = self.recorded.state
        if state is None or state.stage is None:
            return draw_picture(Graph())
        inputs = (e.path for e in state.used_entries())
        return draw_picture(find_pipeline(state.metafiles, state.stage, inputs))

    @property
    def changes(self) -> Diff | None:
        """What differs from the run before it."""
        previous = self.previous.state if self.previous is not None else None
        if previous is None or self.recorded.state is None:
            return None
        return compare_states(previous, self.recorded.state)

    @property
    def changes_since(self) -> Diff | None:
        """What differs in the workspace from the run."""
        if self.workspace is None or self.recorded.state is None:
            return None
        return compare_states(self.recorded.state, self.workspace)

    @property
    def rows(self) -> list[Row]:
        """The outs as a tree."""
        entries = self.recorded.state.entries if self.recorded.state is not None else ()
        places = {out.path: out for out in (self.checked.outs if self.checked else ())}
        return build_tree(entries, self.changes, places)

    @property
    def commands(self) -> Sequence[tuple[str, str]]:
        """What a reader may want to do, with the command that does it."""
        run_id = shlex.quote(self.recorded.run.run_id)
        return [
            ("Bring this data back", f"mlflow-dvc restore {run_id}"),
            ("Code and data together", f"mlflow-dvc restore {run_id} --worktree ../run"),
            ("Compare it with your data", f"mlflow-dvc diff {run_id} --files"),
        ]
