"""A graph as a Mermaid flowchart, which GitHub and GitLab draw in Markdown."""

from __future__ import annotations

import re

from mlflow_dvc_plugin.reporting.graph.nodes import Graph, Node, NodeKind

_SHAPES: dict[NodeKind, tuple[str, str]] = {
    "data": ("[(", ")]"),
    "stage": ("[", "]"),
    "run": ("([", "])"),
    "model": ("{{", "}}"),
    "version": ("[[", "]]"),
    "alias": (">", "]"),
}
_SHORT = 8
# Mermaid has its own escapes: the number of a character between `#` and `;`.
_SPECIAL = re.compile(r"[^\w .,:=+-]", re.ASCII)


def to_mermaid(graph: Graph) -> str:
    """The text of a flowchart from left to right."""
    names = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        opening, closing = _SHAPES[node.kind]
        lines.append(f'    {names[node.id]}{opening}"{_to_label(node)}"{closing}')
    for edge in graph.edges:
        arrow = "-. edited .->" if edge.edited else "-->"
        lines.append(f"    {names[edge.source]} {arrow} {names[edge.target]}")
    lines += [f'    click {names[node.id]} href "{node.url}"' for node in graph.nodes if node.url]
    lines += [f"    style {names[each]} stroke-width:3px" for each in sorted(graph.focus)]
    return "\n".join(lines) + "\n"


def _to_label(node: Node) -> str:
    label = _escape(node.name)
    return f"{label}<br/>{_escape(node.hash[:_SHORT])}" if node.hash else label


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"#{ord(match[0])};", text)
