"""Results as tables, for people."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow_dvc_plugin.cli.output import add_style, format_size, to_printable, write

if TYPE_CHECKING:
    from mlflow_dvc_plugin.state import Entry

_GAP = "  "
_SHORT = 13  # characters of a hash, with the sign that it is cut
_COLOURS = {"clean": "green", "saved": "green", "modified": "yellow", "missing": "red"}


class Cell(NamedTuple):
    """A text with a style; without a colour it has the terminal's own."""

    text: str
    colour: str | None = None
    dim: bool = False


# A list has a line for each item.
Content = str | Cell | list[str]


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: its heading; a column without one is only shown where there is room.
        right: it is aligned right.
        shrinks: its values may be cut.
    """

    name: str
    content: Callable[[Any], Content]
    right: bool = False
    shrinks: bool = False


def terminal_width() -> int | None:
    """How many characters fit in a line; None where the output is not shown on a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def to_status_cell(status: str) -> Cell:
    """A status in its colour."""
    return Cell(status, _COLOURS.get(status), dim=status == "unverified")


def draw_facts(pairs: Iterable[tuple[str, str | Cell | None]]) -> None:
    """Print names and values in two columns; those without a value are left out."""
    facts = [(name, value) for name, value in pairs if value]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        heading = _render(Cell(name, dim=True), width)
        write(f"{heading}{_GAP}{_render(_to_cells(value)[0])}")
    write()


def draw_table(columns: Sequence[Column], items: Iterable[Any]) -> None:
    """Print items as a table. On a terminal that is too narrow, each item is a paragraph."""
    from rich.cells import cell_len

    rows = [[column.content(item) for column in columns] for item in items]
    table = [[_to_cells(content) for content in row] for row in rows]
    headings = [_to_cells(column.name) for column in columns]
    widths = [
        max(cell_len(cell.text) for cells in column_cells for cell in cells)
        for column_cells in zip(headings, *table, strict=True)
    ]
    terminal = terminal_width()
    if terminal is not None:
        excess = sum(widths) + len(_GAP) * (len(columns) - 1) - terminal
        for number, column in enumerate(columns):
            if column.shrinks and excess > 0:
                least = min(widths[number], max(_SHORT, widths[number] - excess))
                excess -= widths[number] - least
                widths[number] = least
        if excess > 0:
            for row in rows:
                _draw_paragraph(columns, row)
            return
    for cells in (headings, *table):
        for line in zip_longest(*cells, fillvalue=Cell("")):
            texts = [
                _render(cell, width, column.right)
                for column, width, cell in zip(columns, widths, line, strict=True)
            ]
            write(_GAP.join(texts).rstrip())


def _draw_paragraph(columns: Sequence[Column], row: Sequence[Content]) -> None:
    """Print a row in lines that a terminal may wrap, so that paths can be copied."""
    cells = [_to_cells(content) for content in row]
    facts = [
        f"{_render(Cell(column.name, dim=True))} {_render(each[0])}"
        for column, content, each in zip(columns[1:], row[1:], cells[1:], strict=True)
        if column.name and not isinstance(content, list) and each[0].text
    ]
    lists = [each for content, each in zip(row, cells, strict=True) if isinstance(content, list)]
    write(_render(cells[0][0]))
    write(_GAP + _GAP.join(facts))
    for line in zip_longest(*lists, fillvalue=Cell("")):
        write((_GAP + _GAP.join(map(_render, line))).rstrip())


def _to_cells(content: Content) -> list[Cell]:
    items = content if isinstance(content, list) else [content]
    cells = [item if isinstance(item, Cell) else Cell(item) for item in items]
    return [cell._replace(text=to_printable(cell.text)) for cell in cells] or [Cell("")]


def _render(cell: Cell, width: int | None = None, right: bool = False) -> str:
    """The text of a cell in its style, with as many characters as the width says."""
    from rich.cells import cell_len, set_cell_size

    text = cell.text
    if width is not None:
        missing = width - cell_len(text)
        if missing < 0:
            text = f"{set_cell_size(text, width - 1)}…"
        text = " " * missing + text if right else text + " " * missing
    return add_style(text, cell.colour, cell.dim)


def draw_entries(entries: Sequence[Entry]) -> None:
    """Print outs: path, hash, size, number of files, and what made them."""
    columns = [
        Column("path", lambda e: e.path + ("/" if e.isdir else "")),
        Column("hash", _show_hash, shrinks=True),
        Column("size", lambda e: format_size(e.size), right=True),
        Column(
            "files",
            lambda e: "-" if e.isdir and e.nfiles is None else f"{e.nfiles or 1:,}",
            right=True,
        ),
        Column("made by", lambda e: e.stage or e.metafile or "not tracked by DVC"),
    ]
    if any(e.input for e in entries):
        columns.append(Column("input", lambda e: "yes" if e.input else ""))
    draw_table(columns, entries)
    write()


def _show_hash(e: Entry) -> Content:
    if not e.cached:
        return f"{e.hash or ''} (in Git)".strip()
    return e.hash or Cell("not made yet", dim=True)
