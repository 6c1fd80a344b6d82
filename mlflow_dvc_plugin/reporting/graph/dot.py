"""A graph in the DOT language, for Graphviz."""

from __future__ import annotations

from mlflow_dvc_plugin.reporting.graph.nodes import Graph, NodeKind

_SHAPES: dict[NodeKind, str] = {
    "data": "cylinder",
    "stage": "box",
    "run": "ellipse",
    "model": "hexagon",
    "version": "box3d",
    "alias": "cds",
}
_SHORT = 8


def to_dot(graph: Graph) -> str:
    """The text of a digraph from left to right."""
    names = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["digraph lineage {", "    rankdir=LR;", '    node [fontname="sans-serif"];']
    for node in graph.nodes:
        label = f"{node.name}\n{node.hash[:_SHORT]}" if node.hash else node.name
        attributes = {
            "label": label,
            "shape": _SHAPES[node.kind],
            "tooltip": node.hash or node.name,
        }
        if node.url:
            attributes["URL"] = node.url
        if node.id in graph.focus:
            attributes["penwidth"] = "3"
        shown = ", ".join(f"{key}={_quote(value)}" for key, value in attributes.items())
        lines.append(f"    {names[node.id]} [{shown}];")
    for edge in graph.edges:
        style = ' [style=dashed, label="edited"]' if edge.edited else ""
        lines.append(f"    {names[edge.source]} -> {names[edge.target]}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def _quote(text: str) -> str:
    """A string in DOT, without escapes, such as that for the name of the node."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return (
        '"' + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in quoted) + '"'
    )
