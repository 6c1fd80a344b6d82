"""A lineage as a picture: boxes with two lines of text, and curves between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mlflow_dvc_plugin.reporting.graph.nodes import Edge, Graph, Node
from mlflow_dvc_plugin.reporting.page.layout import Box, lay_out
from mlflow_dvc_plugin.units import format_size

_MARGIN = 6.0  # pixels
_HEIGHT = 42.0
_CHARACTER, _SMALL_CHARACTER = 6.9, 6.2  # of the names and notes
_PADDING = 24.0
_HALF = 16  # digits of a hash in each of its two lines
_LEAST, _LEAST_WITH_HASH, _MOST = 72.0, 115.0, 190.0


@dataclass(frozen=True)
class Shape:
    """A node in the picture.

    Attributes:
        name, note: its two lines of text, cut to its width.
        title: all about it, for those who point at it and for screen readers.
        hash: its two halves, which replace the text when it is pointed at.
    """

    node: Node
    box: Box
    name: str
    note: str
    title: str
    hash: tuple[str, ...]
    is_focus: bool


@dataclass(frozen=True)
class Curve:
    """An edge in the picture, as the path of an SVG."""

    edge: Edge
    path: str


@dataclass(frozen=True)
class Picture:
    """All shapes and curves, in pixels."""

    shapes: Sequence[Shape]
    curves: Sequence[Curve]
    width: float
    height: float

    @property
    def kinds(self) -> list[str]:
        """The kinds of nodes that are in it, from data on."""
        present = {shape.node.kind for shape in self.shapes}
        return [kind for kind in ("data", "stage", "run", "model", "version") if kind in present]

    @property
    def has_edited(self) -> bool:
        """Is there data that was edited?"""
        return any(curve.edge.edited for curve in self.curves)


def draw_picture(graph: Graph) -> Picture:
    """Lay out a graph. The aliases of a version are in its box."""
    graph = _join_aliases(graph)
    widths = {node.id: _find_width(node) for node in graph.nodes}
    sizes = {name: (width, _HEIGHT) for name, width in widths.items()}
    layout = lay_out(sizes, [(edge.source, edge.target) for edge in graph.edges])
    shapes = [
        _to_shape(node, _move(layout.boxes[node.id]), node.id in graph.focus)
        for node in graph.nodes
    ]
    curves = [
        Curve(edge, _to_path([(x + _MARGIN, y + _MARGIN) for x, y in points]))
        for edge, points in zip(graph.edges, layout.lines, strict=True)
    ]
    return Picture(shapes, curves, layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN)


def _join_aliases(graph: Graph) -> Graph:
    aliases: dict[str, list[str]] = {}
    for edge in graph.edges:
        target = graph.by_id[edge.target]
        if target.kind == "alias":
            aliases.setdefault(edge.source, []).append(f"@{target.name.rpartition('@')[2]}")
    nodes = tuple(
        replace(node, facts={**node.facts, "aliases": " ".join(aliases[node.id])})
        if node.id in aliases
        else node
        for node in graph.nodes
        if node.kind != "alias"
    )
    edges = tuple(edge for edge in graph.edges if graph.by_id[edge.target].kind != "alias")
    return replace(graph, nodes=nodes, edges=edges)


def _find_width(node: Node) -> float:
    longest = max(len(node.name) * _CHARACTER, len(_to_note(node)) * _SMALL_CHARACTER)
    least = _LEAST_WITH_HASH if node.hash else _LEAST
    return min(max(longest + _PADDING, least), _MOST)


def _to_note(node: Node) -> str:
    """The second line of a node."""
    short, facts = node.hash.partition(".")[0][:8], node.facts
    words = {
        "data": [short, format_size(int(facts["bytes"])) if "bytes" in facts else ""],
        "stage": ["stage"],
        "run": [short, facts.get("score") or facts.get("data", "")],
        "model": ["logged model"],
        "version": [facts.get("aliases", "") or "registered"],
    }
    return " · ".join(filter(None, words.get(node.kind, [])))


def _to_shape(node: Node, box: Box, is_focus: bool) -> Shape:
    room = box.width - _PADDING + 2
    facts = [f"{name}: {value}" for name, value in node.facts.items()]
    title = " · ".join(filter(None, [f"{node.kind} {node.name}", node.hash, *facts]))
    digits = node.hash.removesuffix(".dir")
    halves = (digits[:_HALF], digits[_HALF:]) if digits else ()
    name = _cut(node.name, int(room / _CHARACTER))
    note = _cut(_to_note(node), int(room / _SMALL_CHARACTER))
    return Shape(node, box, name, note, title, halves, is_focus)


def _cut(text: str, room: int) -> str:
    """The end of a path, or of any other name, says most."""
    return text if len(text) <= room else f"…{text[len(text) - room + 1 :]}"


def _move(box: Box) -> Box:
    return box._replace(x=box.x + _MARGIN, y=box.y + _MARGIN)


def _to_path(points: Sequence[tuple[float, float]]) -> str:
    """Curves between columns, and straight lines through them."""
    (x, y), *rest = points
    path = [f"M{x:.0f} {y:.1f}"]
    for number, (to_x, to_y) in enumerate(rest):
        if number % 2:
            path.append(f"H{to_x:.0f}")
        else:
            middle = (x + to_x) / 2
            path.append(f"C{middle:.0f} {y:.1f} {middle:.0f} {to_y:.1f} {to_x:.0f} {to_y:.1f}")
        x, y = to_x, to_y
    return "".join(path)


def fold_runs(graph: Graph, describe: Callable[[Sequence[str]], str]) -> Graph:
    """The graph with one node for all runs on the same data from which nothing was made.

    `describe` says the score of some runs, by their ids; empty if they have none.
    """
    groups: dict[object, list[Node]] = {}
    for node in graph.nodes:
        if node.kind == "run":
            sources = tuple((edge.source, edge.edited) for edge in graph.sources[node.id])
            is_end = not graph.targets[node.id] and node.id not in graph.focus
            groups.setdefault(sources if is_end else node.id, []).append(node)
    folded: dict[str, Node] = {}
    for nodes in groups.values():
        score = describe([node.hash for node in nodes])
        facts = {"score": score} if score else {}
        shown = replace(nodes[0], facts={**nodes[0].facts, **facts})
        if len(nodes) > 1:
            shown = Node(f"runs:{nodes[0].id}", "run", f"{len(nodes):,} runs", facts=facts)
        folded.update((node.id, shown) for node in nodes)
    new = {each.id: each for node in graph.nodes for each in [folded.get(node.id, node)]}
    edges: dict[tuple[str, str], Edge] = {}
    for edge in graph.edges:
        source, target = (folded[x].id if x in folded else x for x in (edge.source, edge.target))
        edges.setdefault((source, target), replace(edge, source=source, target=target))
    return replace(graph, nodes=tuple(new.values()), edges=tuple(edges.values()))
