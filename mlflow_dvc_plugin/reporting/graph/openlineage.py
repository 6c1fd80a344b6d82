"""A graph as OpenLineage events, for data catalogues."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from mlflow_dvc_plugin.errors import ReportError
from mlflow_dvc_plugin.reporting.graph.nodes import Graph, Node

# Where OpenLineage's own integrations find it: it keeps the data of two projects apart.
_NAMESPACE, _DEFAULT_NAMESPACE = "OPENLINEAGE_NAMESPACE", "default"
_PRODUCER = "https://pypi.org/project/mlflow-dvc-plugin"
_END_TYPES = {"finished": "COMPLETE", "failed": "FAIL", "killed": "ABORT"}


def to_openlineage(graph: Graph) -> Iterator[str]:
    """The events, each as one line of JSON.

    A run is a run of its stage, or of its experiment; it has an event for its start, and one for
    its end. A stage of which only ``dvc.lock`` knows is a job without a run. The version
    of a dataset is its hash. Jobs and datasets are in the namespace that the variable
    OPENLINEAGE_NAMESPACE names.

    Raises:
        ReportError: the package of OpenLineage's client is not installed.
    """
    try:
        from openlineage.client import event_v2 as events
        from openlineage.client.serde import Serde
    except ImportError as err:
        raise ReportError(
            "OpenLineage's client is not installed. Run: pip install 'mlflow-dvc-plugin[catalog]'"
        ) from err
    namespace = os.environ.get(_NAMESPACE) or _DEFAULT_NAMESPACE
    times = [node.facts["started"] for node in graph.nodes if "started" in node.facts]
    for node in graph.nodes:
        sources, targets = graph.list_used(node), graph.list_made(node)
        inputs = _to_datasets(events.InputDataset, namespace, sources)
        outputs = _to_datasets(events.OutputDataset, namespace, targets)
        sides = {"producer": _PRODUCER, "inputs": inputs, "outputs": outputs}
        if node.kind == "stage" and outputs:
            job = events.Job(namespace, node.name)
            yield Serde.to_json(events.JobEvent(eventTime=min(times), job=job, **sides))
        elif node.kind == "run":
            job, run = (
                events.Job(namespace, _name_job(graph, node)),
                events.Run(_to_uuid(node.hash)),
            )
            moments = [("START", node.facts["started"])]
            end_type = _END_TYPES.get(node.facts.get("status", ""))
            if end_type and "ended" in node.facts:
                moments.append((end_type, node.facts["ended"]))
            for name, time in moments:
                kind = events.RunState(name)
                event = events.RunEvent(eventType=kind, eventTime=time, run=run, job=job, **sides)
                yield Serde.to_json(event)


def _name_job(graph: Graph, run: Node) -> str:
    sources = [graph.by_id[edge.source] for edge in graph.sources[run.id]]
    stage = next((each.name for each in sources if each.kind == "stage"), None)
    return stage or f"experiment {run.facts['experiment']}"


def _to_datasets(kind: Any, namespace: str, nodes: Iterable[Node]) -> list[Any]:
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet

    found = []
    for node in nodes:
        name, version = node.name, node.hash
        if node.kind == "version":
            model, _, version = node.name.rpartition("/")
            name = f"models:/{model}"
        facets = {"version": DatasetVersionDatasetFacet(version, producer=_PRODUCER)}
        found.append(kind(namespace, name, facets=facets))
    return found


def _to_uuid(run_id: str) -> str:
    """A run's id as OpenLineage wants it: MLflow writes the same digits without dashes."""
    try:
        return str(uuid.UUID(hex=run_id))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, run_id))
