"""What a lineage consists of: nodes, and edges from what was there first to what rests on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

# A version of data, a stage on its inputs, a run, a logged model, a version of a registered
# model, and an alias of one.
NodeKind = Literal["data", "stage", "run", "model", "version", "alias"]


@dataclass(frozen=True)
class Node:
    """Something in a lineage.

    Attributes:
        id: unique in the graph, and the same in each graph of the same store.
        name: what a person calls it: a path, an address, the name of a run.
        hash: of data, as DVC writes it; the id of a run or of a logged model.
        facts: more about it, in the order in which it is shown.
        url: its page in MLflow; empty if the server's address is not known.
    """

    id: str
    kind: NodeKind
    name: str
    hash: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Edge:
    """`target` rests on `source`.

    Attributes:
        edited: the source was edited when the run started, and not saved: what the run
            really read is not known.
    """

    source: str
    target: str
    edited: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {"source": self.source, "target": self.target, "edited": self.edited}


@dataclass(frozen=True)
class Graph:
    """A lineage.

    Attributes:
        focus: the ids of what was asked for.
        remarks: what the graph does not show, in sentences.
    """

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    focus: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()

    @cached_property
    def by_id(self) -> Mapping[str, Node]:
        """The nodes by their ids."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def sources(self) -> Mapping[str, list[Edge]]:
        """The edges that lead to each node, by its id."""
        found: dict[str, list[Edge]] = {node.id: [] for node in self.nodes}
        for edge in self.edges:
            found[edge.target].append(edge)
        return found

    @cached_property
    def targets(self) -> Mapping[str, list[Edge]]:
        """The edges that lead away from each node, by its id."""
        found: dict[str, list[Edge]] = {node.id: [] for node in self.nodes}
        for edge in self.edges:
            found[edge.source].append(edge)
        return found

    def list_used(self, node: Node) -> list[Node]:
        """The data that a run or stage used, also through the stage that a run is in."""
        found = [self.by_id[edge.source] for edge in self.sources[node.id]]
        for stage in [each for each in found if each.kind == "stage"]:
            found += [self.by_id[edge.source] for edge in self.sources[stage.id]]
        return [each for each in found if each.kind == "data"]

    def list_made(self, node: Node) -> list[Node]:
        """The data and models that a run or stage made, and the versions of these models."""
        found = []
        todo = [node.id]
        while todo:
            targets = [self.by_id[edge.target] for edge in self.targets[todo.pop()]]
            found += [each for each in targets if each.kind in ("data", "model", "version")]
            todo += [each.id for each in targets if each.kind == "model"]
        return found

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            "focus": sorted(self.focus),
            "nodes": [node.to_dict() for node in self.nodes],
            "edges": [edge.to_dict() for edge in self.edges],
        }
