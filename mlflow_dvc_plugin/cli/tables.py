"""Results as tables, for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlflow_dvc_plugin.cli.output import printable, size
from mlflow_dvc_plugin.state import Entry

Cell = str | Text | list[str]

_WIDE = 10_000
_GAP = 2
_START = 13  # of a hash, with the sign that it goes on
_COLOURS = {"clean": "green", "modified": "yellow", "missing": "red", "unverified": "dim"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader (`| head`) has what it wanted; rich would exit as if this had failed."""
        raise BrokenPipeError


def console() -> Console:
    """A terminal as it is, which wraps what is too long for it; a pipe gets long lines."""
    width = None if sys.stdout.isatty() else _WIDE
    return _Console(width=width, highlight=False, soft_wrap=True)


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=_COLOURS.get(status, ""))


def facts(pairs: Iterable[tuple[str, str | Text | None]]) -> Table:
    """Names and values in two columns; those without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            table.add_row(name, value if isinstance(value, Text) else Text(printable(value)))
    return table


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: its heading; a column without one is left out where there is little room.
        right: it is flush right.
        shrinks: the start of its values will do.
    """

    name: str
    right: bool = False
    shrinks: bool = False


def draw(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print rows as a table; on a terminal that it does not fit, each as a paragraph.

    Args:
        console: where to.
        columns: one for each cell of a row.
        rows: cells, those that are lists with a line for each item.
    """
    rows = list(rows)
    widths = _widths(columns, rows)
    if not console.is_terminal:
        _plain(console, columns, rows, widths)
        return
    least = [min(w, _START) if c.shrinks else w for c, w in zip(columns, widths, strict=True)]
    if sum(least) + _GAP * (len(least) - 1) > console.width:
        for row in rows:
            _paragraph(console, columns, row)
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
    for column in columns:
        table.add_column(
            Text(column.name),
            justify="right" if column.right else "left",
            no_wrap=not column.shrinks,
            overflow="ellipsis",
            min_width=_START if column.shrinks else None,
        )
    for row in rows:
        table.add_row(*(Text("\n").join(_lines(cell)) for cell in row))
    console.print(table)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
    return [
        max(line.cell_len for cell in (column.name, *cells) for line in _lines(cell))
        for column, *cells in zip(columns, *rows, strict=True)
    ]


def _plain(
    console: Console,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    widths: Sequence[int],
) -> None:
    """Print a table for a pipe: rich would take a second for a few thousand rows."""
    found = []
    for row in ([column.name for column in columns], *rows):
        for line in zip_longest(*map(_lines, row), fillvalue=Text()):
            cells = []
            for column, width, text in zip(columns, widths, line, strict=True):
                pad = " " * (width - text.cell_len)
                cells.append(pad + text.plain if column.right else text.plain + pad)
            found.append((" " * _GAP).join(cells).rstrip())
    console.file.write("\n".join([*found, ""]))


def _paragraph(console: Console, columns: Sequence[Column], row: Sequence[Cell]) -> None:
    gap = Text(" " * _GAP)
    said = [
        Text(f"{column.name} ", style="dim") + _lines(cell)[0]
        for column, cell in zip(columns[1:], row[1:], strict=True)
        if column.name and not isinstance(cell, list) and cell
    ]
    listed = zip_longest(*(_lines(c) for c in row if isinstance(c, list)), fillvalue=Text())
    for line in (_lines(row[0])[0], gap + gap.join(said), *(gap + gap.join(c) for c in listed)):
        console.print(line, soft_wrap=True)  # so that paths can be copied


def _lines(cell: Cell) -> list[Text]:
    lines = cell if isinstance(cell, list) else [cell]
    return [line if isinstance(line, Text) else Text(line) for line in lines] or [Text()]


def draw_entries(console: Console, entries: Iterable[Entry]) -> None:
    """Print outs: what, which hash, how much, made by what."""
    entries = list(entries)
    columns = [
        Column("path"),
        Column("hash", shrinks=True),
        Column("size", right=True),
        Column("files", right=True),
        Column("made by"),
    ]
    if staged := any(e.input for e in entries):
        columns.append(Column("input"))
    rows: list[list[Cell]] = []
    for e in entries:
        files = "-" if e.isdir and e.nfiles is None else f"{e.nfiles or 1:,}"
        value = e.hash if e.cached else f"{e.hash or ''} (in Git)".strip()
        row: list[Cell] = [
            printable(e.path + ("/" if e.isdir else "")),
            Text(printable(value or "not made yet"), style="" if e.hash else "dim"),
            size(e.size),
            files,
            printable(e.stage or e.metafile),
        ]
        if staged:
            row.append("yes" if e.input else "")
        rows.append(row)
    draw(console, columns, rows)
