"""From what runs recorded, and the models that come from them, to one graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlflow_dvc_plugin.reporting.graph.nodes import Edge, Graph, Node
from mlflow_dvc_plugin.reporting.recorded_runs import RecordedRun
from mlflow_dvc_plugin.reporting.times import format_utc
from mlflow_dvc_plugin.state import Entry, fingerprint
from mlflow_dvc_plugin.state.tags import HASH_DIGITS, HASHES, MIN_HASH
from mlflow_dvc_plugin.tracking import Run, contains_clause, tag_clause
from mlflow_dvc_plugin.tracking.models import Model
from mlflow_dvc_plugin.tracking.pages import Pages

MAX_OUTS = 40  # of one run or stage
_SHORT = 8


def build_graph(
    recorded: Sequence[RecordedRun], models: Iterable[Model] = (), focus: Iterable[str] = ()
) -> Graph:
    """The lineage of runs.

    Args:
        recorded: the runs; data with the same path and hash is one node for all of them.
        models: the models that come from them.
        focus: the ids of the nodes that were asked for.
    """
    builder = _Builder()
    for each in recorded:
        builder.add_run(each)
    builder.add_models(models)
    return builder.build(frozenset(focus))


def to_run_id(run_id: str) -> str:
    """The id of a run's node."""
    return f"run:{run_id}"


def to_model_id(model: Model) -> str:
    """The id of the node of a logged model, or of a version of a registered model."""
    return f"version:{model.name}/{model.version}" if model.version else f"model:{model.uri[8:]}"


class _Builder:
    """Collects nodes and edges, each once."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._edges: dict[tuple[str, str], Edge] = {}
        self._runs: dict[str, Run] = {}
        self._remarks: dict[str, None] = {}

    def build(self, focus: frozenset[str]) -> Graph:
        nodes, edges = tuple(self._nodes.values()), tuple(self._edges.values())
        return Graph(nodes, edges, focus & self._nodes.keys(), tuple(self._remarks))

    def add_run(self, recorded: RecordedRun) -> None:
        run, used = recorded.run, self._limit(recorded.used, f"Run {recorded.run.run_id} used")
        self._runs[run.run_id] = run
        pages = Pages(run.store)
        node = self._add(
            Node(
                to_run_id(run.run_id),
                "run",
                run.name or run.run_id[:_SHORT],
                run.run_id,
                _list_facts(recorded),
                pages.find_run(run),
            )
        )
        target, stage = node.id, run.tags.get("dvc.stage")
        edited = [e.path for e in used if e.path in run.modified]
        if stage is not None:
            target = self._add_stage(stage, used, run, edited)
            self._connect(target, node.id)
        for e in used:
            self._connect(self._add_data(e, run), target, e.path in edited)
        self._add_steps(recorded, used)
        for e in self._limit(recorded.made, f"Run {run.run_id} made"):
            self._connect(node.id, self._add_data(e, run))

    def add_models(self, models: Iterable[Model]) -> None:
        for model in sorted(models, key=lambda model: (bool(model.version), model.uri)):
            node_id, run = to_model_id(model), self._runs.get(model.run_id)
            pages = Pages(run.store if run else "")
            url = pages.find_model(model, run.experiment_id if run else "")
            if not model.version:
                self._add(Node(node_id, "model", model.name, model.uri[8:], {}, url))
            else:
                self._add(Node(node_id, "version", f"{model.name}/{model.version}", url=url))
            logged = f"model:{model.logged_id}"
            source = logged if logged in self._nodes else to_run_id(model.run_id)
            if source in self._nodes:
                self._connect(source, node_id)
            for alias in model.aliases:
                name = f"{model.name}@{alias}"
                self._connect(node_id, self._add(Node(f"alias:{name}", "alias", name, url=url)).id)

    def _add_steps(self, recorded: RecordedRun, used: Sequence[Entry]) -> None:
        """Add the stages that made the data that a run used, and those before them."""
        steps = {(out.path, out.hash): step for step in recorded.steps for out in step.outs}
        todo, seen = list(used), {(e.path, e.hash) for e in used}
        while todo:
            out = todo.pop(0)
            step = steps.get((out.path, out.hash))
            if step is None:
                continue
            deps = self._limit(step.deps, f"Stage {step.address} read")
            stage = self._add_stage(step.address, deps, recorded.run)
            self._connect(stage, self._add_data(out, recorded.run))
            for dep in deps:
                self._connect(self._add_data(dep, recorded.run), stage)
                if (dep.path, dep.hash) not in seen:
                    seen.add((dep.path, dep.hash))
                    todo.append(dep)

    def _add_data(self, e: Entry, run: Run) -> str:
        value = str(e.hash)
        facts = {} if e.size is None else {"bytes": str(e.size)}
        if e.nfiles is not None:
            facts["files"] = f"{e.nfiles:,}"
        digits = value[:MIN_HASH]
        url = ""
        if len(digits) == MIN_HASH and not digits.strip(HASH_DIGITS):
            url = Pages(run.store).search(run.experiment_id, contains_clause(HASHES, digits))
        node_id = f"data:{e.path}@{value}"
        known = self._nodes.get(node_id)
        if known is not None and known.facts:
            return node_id
        return self._add(Node(node_id, "data", e.path, value, facts, url), replace=True).id

    def _add_stage(
        self, address: str, deps: Iterable[Entry], run: Run, edited: Sequence[str] = ()
    ) -> str:
        """Add a stage on its inputs: what it read apart from edited data is another node."""
        inputs = fingerprint(deps)
        node_id = "@".join([f"stage:{address}", inputs[:_SHORT], *edited])
        url = Pages(run.store).search(run.experiment_id, tag_clause("dvc.stage", address))
        return self._add(Node(node_id, "stage", address, url=url)).id

    def _limit(self, entries: Sequence[Entry], who: str) -> Sequence[Entry]:
        if len(entries) > MAX_OUTS:
            self._remarks[f"{who} {len(entries):,} outs, of which {MAX_OUTS} are shown."] = None
        return entries[:MAX_OUTS]

    def _add(self, node: Node, replace: bool = False) -> Node:
        if replace:
            self._nodes[node.id] = node
        return self._nodes.setdefault(node.id, node)

    def _connect(self, source: str, target: str, edited: bool = False) -> None:
        self._edges.setdefault((source, target), Edge(source, target, edited))


def _list_facts(recorded: RecordedRun) -> dict[str, str]:
    """What a graph says of a run besides its name and id; times are in UTC."""
    run = recorded.run
    status = run.tags.get("dvc.status", "unverified")
    facts = {
        "data": "unknown" if recorded.state is None else status,
        "reason": recorded.reason,
        "status": run.status.lower(),
        "experiment": run.experiment_id,
        "started": format_utc(run.start_time),
        "ended": format_utc(run.end_time),
    }
    return {name: value for name, value in facts.items() if value}
