"""Reading the runs of a lineage, those that made their data, and their models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.lineage.search.find import search_by_data
from mlflow_dvc_plugin.lineage.search.query import Query
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.reporting.graph.builder import build_graph, to_model_id, to_run_id
from mlflow_dvc_plugin.reporting.graph.nodes import Graph
from mlflow_dvc_plugin.reporting.recorded_runs import RecordedRun, read_runs
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX
from mlflow_dvc_plugin.state.tags import HASH_DIGITS, MIN_HASH, OUT_HASHES
from mlflow_dvc_plugin.tracking import Run, contains_clause, find_run, search_runs
from mlflow_dvc_plugin.tracking.lookup import get_run
from mlflow_dvc_plugin.tracking.models import Model, Registry

MAX_RUNS = 500
_MAX_SEARCHES = 30  # for runs that made data


class Lineage(NamedTuple):
    """The lineage of runs.

    Attributes:
        recorded: the runs: first those that were asked for, then those that made their data.
        models: the models that come from them.
    """

    recorded: Sequence[RecordedRun]
    models: Sequence[Model]
    graph: Graph


def read_lineage(
    texts: Sequence[str] = (),
    *,
    experiments: Sequence[str] = (),
    tracking_uri: str | None = None,
    progress: Progress | None = None,
) -> Lineage:
    """The lineage of runs or models, of experiments, or else of the data in the workspace.

    Args:
        texts: runs and models, as :func:`~mlflow_dvc_plugin.tracking.find_run` takes them.
        experiments: names of experiments, whose newest runs are read.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        progress: counts runs.

    Raises:
        MlflowDvcError: the runs cannot be read.
    """
    progress = progress or Progress()
    progress.begin("Reading runs", 0)
    runs, remarks = select_runs(texts, experiments, tracking_uri, progress)
    recorded = list(_count(read_runs(runs, find_project()), progress))
    if texts:
        recorded += _find_makers(recorded, tracking_uri, progress)
    asked = [run.model for run in runs if run.model is not None]
    found = [*Registry(tracking_uri).list_models([each.run.run_id for each in recorded]), *asked]
    models = list({model.uri: model for model in found}.values())
    focus = [to_model_id(model) for model in asked]
    focus += [to_run_id(run.run_id) for run in runs if run.model is None and texts]
    graph = build_graph(recorded, models, focus)
    return Lineage(recorded, models, replace(graph, remarks=(*remarks, *graph.remarks)))


def select_runs(
    texts: Sequence[str], experiments: Sequence[str], tracking_uri: str | None, progress: Progress
) -> tuple[list[Run], list[str]]:
    """The runs that a user means, and what limits them, in sentences."""
    if texts:
        return [find_run(text, tracking_uri) for text in dict.fromkeys(texts)], []
    if experiments:
        found: Iterable[Run] = search_runs((), experiments, tracking_uri)
    else:
        result = search_by_data(Query(tracking_uri=tracking_uri), progress)
        found = (get_run(each.run_id, tracking_uri) for each in result.runs)
    runs = list(islice(found, MAX_RUNS + 1))
    if len(runs) <= MAX_RUNS:
        return runs, []
    return runs[:MAX_RUNS], [f"These are the newest {MAX_RUNS} runs: there are more."]


def _find_makers(
    recorded: Sequence[RecordedRun], tracking_uri: str | None, progress: Progress
) -> list[RecordedRun]:
    """The runs that made the data of some runs, and of each other, as ``link`` found out."""
    known = {each.run.run_id for each in recorded}
    searched: set[str] = set()
    found: list[RecordedRun] = []
    todo = list(recorded)
    while todo:
        each = todo.pop(0)
        made = [e for e in each.used if e.stage is not None]
        made += [e for step in each.steps for e in step.deps]
        for digits in {str(e.hash).removesuffix(DIR_SUFFIX)[:MIN_HASH]: None for e in made}:
            if digits in searched or len(searched) == _MAX_SEARCHES or not _is_hash(digits):
                continue
            searched.add(digits)
            hashes = {str(e.hash) for e in made}
            runs = search_runs([contains_clause(OUT_HASHES, digits)], (), tracking_uri)
            makers = [run for run in runs if run.run_id not in known]
            for maker in _count(read_runs(makers, find_project()), progress):
                if not hashes.isdisjoint(str(e.hash) for e in maker.made):
                    known.add(maker.run.run_id)
                    found.append(maker)
                    todo.append(maker)
    return found


def _is_hash(digits: str) -> bool:
    return len(digits) == MIN_HASH and not digits.strip(HASH_DIGITS)


def _count(recorded: Iterable[RecordedRun], progress: Progress) -> Iterator[RecordedRun]:
    for each in recorded:
        progress.advance(files=1)
        yield each
