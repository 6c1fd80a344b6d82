"""Results as tables, for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlflow_dvc_plugin.cli.output import printable, size
from mlflow_dvc_plugin.state import Entry

_WIDE = 240
_COLOURS = {"clean": "green", "modified": "yellow", "missing": "red", "unverified": "dim"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader (`| head`) has what it wanted; rich would exit as if this had failed."""
        raise BrokenPipeError


def console() -> Console:
    """A terminal as it is; a pipe gets long lines instead of cut ones."""
    width = None if sys.stdout.isatty() else _WIDE
    return _Console(width=width, highlight=False, soft_wrap=not sys.stdout.isatty())


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


def entries_table(entries: Iterable[Entry]) -> Table:
    """Outs as a table: what, which hash, how much, made by what."""
    entries = list(entries)
    staged = any(e.input for e in entries)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("path", overflow="fold")
    table.add_column("hash", overflow="ellipsis", no_wrap=True, min_width=12)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("files", justify="right", no_wrap=True)
    table.add_column("made by", overflow="fold")
    if staged:
        table.add_column("input")
    for e in entries:
        files = "-" if e.isdir and e.nfiles is None else f"{e.nfiles or 1:,}"
        value = e.hash if e.cached else f"{e.hash or ''} (in Git)".strip()
        row: list[str | Text] = [
            Text(printable(e.path + ("/" if e.isdir else ""))),
            Text(printable(value or "not made yet"), style="" if e.hash else "dim"),
            size(e.size),
            files,
            Text(printable(e.stage or e.metafile)),
        ]
        if staged:
            row.append("yes" if e.input else "")
        table.add_row(*row)
    return table
