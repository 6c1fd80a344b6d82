"""The models that come from the runs of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlflow_dvc_plugin.lineage.search.results import SearchResult
from mlflow_dvc_plugin.tracking.models import Model, Registry


def add_models(results: Sequence[SearchResult], tracking_uri: str | None) -> list[SearchResult]:
    """The results with the models that rest on the data of each run."""
    found: dict[str, list[Model]] = {run.run_id: [] for result in results for run in result.runs}
    for model in Registry(tracking_uri).list_models(list(found)):
        found[model.run_id].append(model)
    return [
        replace(result, runs=[replace(run, models=found[run.run_id]) for run in result.runs])
        for result in results
    ]
