"""A graph as a tree of text: under each node is what it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mlflow_dvc_plugin.reporting.graph.nodes import Graph, Node


class Line(NamedTuple):
    """A line of the tree.

    Attributes:
        guides: the lines that lead to the node.
        edited: what rests on the node really read something else.
        repeated: the node is above, with what it rests on.
    """

    guides: str
    node: Node
    edited: bool = False
    repeated: bool = False


def draw_tree(graph: Graph) -> Iterator[Line]:
    """The lines of a tree for each node on which nothing rests; each node is expanded once."""
    roots = [node for node in graph.nodes if not graph.targets[node.id]]
    # In a graph without an end, each node rests on itself.
    todo = [(node.id, "", "", False) for node in reversed(roots or graph.nodes[:1])]
    seen: set[str] = set()
    while todo:
        node_id, guides, below, edited = todo.pop()
        sources = graph.sources[node_id]
        yield Line(guides, graph.by_id[node_id], edited, node_id in seen and bool(sources))
        if node_id in seen:
            continue
        seen.add(node_id)
        for number, edge in enumerate(reversed(sources)):
            guide, rest = ("└─ ", "   ") if number == 0 else ("├─ ", "│  ")
            todo.append((edge.source, below + guide, below + rest, edge.edited))
