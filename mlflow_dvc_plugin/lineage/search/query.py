"""What to search for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_dvc_plugin.tracking import Run


@dataclass(frozen=True)
class Query:
    """What to search for. With none of the first four: the data in the workspace.

    Attributes:
        same_as: a run; runs on the same data state, and for a run in a stage
            those with the same inputs.
        data_hash: a fingerprint of a data state.
        path: an out's path relative to the project.
        hash: a hash, or at least its first six digits; of the out at `path`, else of any
            out, or of any file inside a tracked folder.
        experiments: names of experiments; none for all.
        metrics: names of metrics to read.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.
    """

    same_as: str | Run | None = None
    data_hash: str | None = None
    path: str | None = None
    hash: str | None = None
    experiments: Sequence[str] = ()
    metrics: Sequence[str] = ()
    tracking_uri: str | None = None
    project: str | None = None
