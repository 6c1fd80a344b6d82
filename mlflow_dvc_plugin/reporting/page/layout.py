"""A layered layout of a graph, from left to right, for pictures of up to some hundred nodes.

Nodes get columns by their longest path from a source (Sugiyama's method): edges over several
columns pass between the nodes, few edges cross, and nodes are near what they are tied to.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

# A node's id, or an edge's number and a column where the edge passes.
_Item = str | tuple[int, int]
_Links = dict[_Item, tuple[list[_Item], list[_Item]]]
_COLUMN_GAP, _ROW_GAP, _PASS_HEIGHT = 22.0, 14.0, 8.0  # pixels
_SWEEPS = 6


class Box(NamedTuple):
    """Where a node is, in pixels."""

    x: float
    y: float
    width: float
    height: float


class Layout(NamedTuple):
    """Where all nodes are, and the points that each edge passes, in pixels."""

    boxes: Mapping[str, Box]
    lines: Sequence[Sequence[tuple[float, float]]]
    width: float
    height: float


def lay_out(sizes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str]]) -> Layout:
    """Lay out nodes of some width and height, and the edges between them.

    The same nodes and edges in the same order get the same layout.
    """
    ranks = _rank(list(sizes), edges)
    columns, links = _fill_columns(ranks, edges)
    _order(columns, links)
    heights = {
        item: sizes[item][1] if isinstance(item, str) else _PASS_HEIGHT
        for column in columns
        for item in column
    }
    middles = _place(columns, links, heights)
    lefts: list[float] = [0.0]
    widths = [
        max((sizes[item][0] for item in column if isinstance(item, str)), default=0.0)
        for column in columns
    ]
    for width in widths:
        lefts.append(lefts[-1] + width + _COLUMN_GAP)
    boxes = {
        name: Box(lefts[ranks[name]], middles[name] - height / 2, width, height)
        for name, (width, height) in sizes.items()
    }
    lines = [
        _draw_line(number, source, target, boxes, (ranks, lefts, widths, middles))
        for number, (source, target) in enumerate(edges)
    ]
    height = max((box.y + box.height for box in boxes.values()), default=0.0)
    passes = max((y for line in lines for _, y in line), default=0.0)
    return Layout(boxes, lines, max(lefts[-1] - _COLUMN_GAP, 0.0), max(height, passes))


def _rank(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The column of each node; an edge that closes a circle leads back."""
    targets: dict[str, list[str]] = {name: [] for name in names}
    waiting = dict.fromkeys(names, 0)
    for source, target in edges:
        targets[source].append(target)
        waiting[target] += 1
    ranks = dict.fromkeys(names, 0)
    sources = {name for name in names if not waiting[name]}
    ready, left = [name for name in names if name in sources], dict.fromkeys(names)
    while left:
        name = ready.pop(0) if ready else next(iter(left))
        if name not in left:
            continue
        del left[name]
        for target in targets[name]:
            if target in left:
                ranks[target] = max(ranks[target], ranks[name] + 1)
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
    for name in sources:
        # Next to what rests on it first.
        ranks[name] = max(0, min((ranks[t] for t in targets[name]), default=1) - 1)
    return ranks


def _fill_columns(
    ranks: Mapping[str, int], edges: Sequence[tuple[str, str]]
) -> tuple[list[list[_Item]], _Links]:
    """The items of each column, and those that each is tied to on its left and right."""
    columns: list[list[_Item]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for name, rank in ranks.items():
        columns[rank].append(name)
    links: _Links = {name: ([], []) for name in ranks}
    for number, (source, target) in enumerate(edges):
        previous: _Item = source
        for rank in range(ranks[source] + 1, ranks[target]):
            item = (number, rank)
            columns[rank].append(item)
            links[item] = ([], [])
            links[previous][1].append(item)
            links[item][0].append(previous)
            previous = item
        if ranks[source] < ranks[target]:
            links[previous][1].append(target)
            links[target][0].append(previous)
    return columns, links


def _order(columns: list[list[_Item]], links: _Links) -> None:
    """Order each column so that few edges cross.

    Items stay in the order in which they came, which mostly is that of time, where that is
    nearly as good. Sources of several items stand in the middle of these, and what comes from
    one item each is in the order of these.
    """
    for column in reversed(columns):
        _sort(
            column, links, columns, 1, lambda item: not links[item][0] and len(links[item][1]) > 1
        )
    for column in columns:
        if all(len(links[item][0]) == 1 for item in column):
            _sort(column, links, columns, 0, lambda _: True)
    best, fewest = [list(column) for column in columns], _count_crossings(columns, links)
    fewest = fewest * 2 // 3
    is_tied = (lambda item: bool(links[item][0])), (lambda item: bool(links[item][1]))
    for sweep in range(_SWEEPS):
        side = sweep % 2  # first by what is on the left
        for column in columns if side == 0 else reversed(columns):
            _sort(column, links, columns, side, is_tied[side])
        crossings = _count_crossings(columns, links)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    columns[:] = best


def _sort(
    column: list[_Item],
    links: _Links,
    columns: Sequence[Sequence[_Item]],
    side: int,
    moves: Callable[[_Item], bool],
) -> None:
    """Sort a column by the mean place of what those items that move are tied to on a side."""
    places = {item: place for each in columns for place, item in enumerate(each)}
    own = {
        item: sum(places[other] for other in links[item][side]) / len(links[item][side])
        if moves(item)
        else places[item]
        for item in column
    }
    column.sort(key=own.__getitem__)


def _count_crossings(columns: Sequence[Sequence[_Item]], links: _Links) -> int:
    count = 0
    for column, after in itertools.pairwise(columns):
        places = {item: place for place, item in enumerate(after)}
        ends: list[int] = []  # of the edges so far, sorted
        for item in column:
            new = sorted(places[other] for other in links[item][1])
            count += sum(len(ends) - bisect.bisect_right(ends, place) for place in new)
            for place in new:
                bisect.insort(ends, place)
    return count


def _place(
    columns: Sequence[Sequence[_Item]],
    links: _Links,
    heights: Mapping[_Item, float],
) -> dict[_Item, float]:
    """The middle of each item from the top, near what it is tied to."""
    middles: dict[_Item, float] = {}
    for column in columns:
        middles.update(zip(column, _spread(column, [0.0] * len(column), heights), strict=True))
    for sweep in range(2 * _SWEEPS):
        side = sweep % 2
        for column in columns if side == 0 else reversed(columns):
            wanted = []
            for item in column:
                tied = [middles[other] for other in links[item][side]] or [middles[item]]
                wanted.append(sum(tied) / len(tied))
            middles.update(zip(column, _spread(column, wanted, heights), strict=True))
    top = min((middles[item] - heights[item] / 2 for item in middles), default=0.0)
    return {item: middle - top for item, middle in middles.items()}


def _spread(
    column: Sequence[_Item], wanted: Sequence[float], heights: Mapping[_Item, float]
) -> list[float]:
    """Places as near as possible to those wanted, in the same order, so that nothing overlaps.

    This is a regression with the condition that the order stays (pool adjacent violators).
    """
    offsets: list[float] = []
    total = 0.0
    for place, item in enumerate(column):
        if place:
            total += (heights[column[place - 1]] + heights[item]) / 2 + _ROW_GAP
        offsets.append(total)
    pools: list[tuple[float, int]] = []  # the mean place of so many items
    for mean, count in ((place - offset, 1) for place, offset in zip(wanted, offsets, strict=True)):
        pool = mean, count
        while pools and pools[-1][0] > pool[0]:
            other, more = pools.pop()
            size = pool[1] + more
            pool = (pool[0] * pool[1] + other * more) / size, size
        pools.append(pool)
    places = [mean for mean, count in pools for _ in range(count)]
    return [place + offset for place, offset in zip(places, offsets, strict=True)]


def _draw_line(
    number: int,
    source: str,
    target: str,
    boxes: Mapping[str, Box],
    grid: tuple[Mapping[str, int], Sequence[float], Sequence[float], Mapping[_Item, float]],
) -> list[tuple[float, float]]:
    """From the right side of a node to the left side of another, straight through each column."""
    ranks, lefts, widths, middles = grid
    start, end = boxes[source], boxes[target]
    points = [(start.x + start.width, middles[source])]
    for rank in range(ranks[source] + 1, ranks[target]):
        y = middles[number, rank]
        points += [(lefts[rank], y), (lefts[rank] + widths[rank], y)]
    return [*points, (end.x, middles[target])]
