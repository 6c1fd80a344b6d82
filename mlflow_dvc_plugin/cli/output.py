"""What commands share to speak to people and to scripts."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)
from rich.progress import (
    Progress as Bars,
)
from rich.table import Table
from rich.text import Text

from mlflow_dvc_plugin.capture import find_project
from mlflow_dvc_plugin.lineage.workspace import near, root_of, state_now
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state import Entry

_F = TypeVar("_F", bound=Callable[..., Any])
_WIDE = 240
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_PATIENCE = 0.5  # seconds before a bar is drawn
_COLOURS = {"clean": "green", "modified": "yellow", "missing": "red", "unverified": "dim"}


def tracking_uri_option(command: _F) -> _F:
    """``--tracking-uri``, as all commands have it."""
    return click.option(
        "--tracking-uri",
        metavar="URI",
        help="The MLflow store. [default: MLflow's own choice, MLFLOW_TRACKING_URI]",
    )(command)


def json_option(command: _F) -> _F:
    """``--json``, as all commands that report have it."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
    )(command)


def experiment_option(command: _F) -> _F:
    """``--experiment``, as commands over many runs have it."""
    return click.option(
        "--experiment",
        "experiments",
        metavar="NAME",
        multiple=True,
        help="Only runs of this experiment. Can be given several times.",
    )(command)


def in_project(path: str) -> str:
    """A path as typed, made relative to the project; outside one, as it is.

    Raises:
        click.BadParameter: it is outside the project.
    """
    root = find_project()
    if root is None:
        return path
    inside = os.path.relpath(os.path.abspath(path), root).replace(os.sep, "/")
    if inside == ".." or inside.startswith("../"):
        raise click.BadParameter(f"{path} is outside the project {root}.")
    return inside


def note_changed(what: str) -> None:
    """Tell a person that the workspace differs from its metafiles, and what that means here."""
    status = state_now(root_of()).status
    if status in ("modified", "missing"):
        note(f"The workspace is {status}: {what} `dvc status` tells what differs from them.")


def note_near(path: str) -> None:
    """Tell a person why nothing may have been found at a path of the project."""
    root = find_project()
    if root is not None and (hint := near(root, path)):
        note(hint)


def note(text: str) -> None:
    """Tell a person something beside the result."""
    click.secho(printable(text), err=True, fg="yellow")


def printable(text: str) -> str:
    """Text from tags, safe for a terminal: nothing in it moves the cursor or hides."""
    return "".join(c if c.isprintable() else _REPLACEMENT for c in text)


def moment(milliseconds: int) -> str:
    """A time of a run, in the local time zone."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))


def number(value: float | None) -> str:
    """A metric."""
    return "-" if value is None else f"{value:.6g}"


def print_json_list(items: Iterable[Any]) -> None:
    """Print a JSON list on stdout, item by item: there may be very many."""
    separator = "["
    for item in items:
        click.echo(f"{separator}\n  {_dumped(item)}", nl=False)
        separator = ","
    click.echo("[]" if separator == "[" else "\n]")


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    click.echo(_dumped(document, indent=2))


def _dumped(document: Any, indent: int | None = None) -> str:
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8
        return json.dumps(document, indent=indent)
    return text


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader (`| head`) has what it wanted; rich would exit as if this had failed."""
        raise BrokenPipeError


def console() -> Console:
    """A terminal as it is; a pipe gets long lines instead of cut ones."""
    width = None if sys.stdout.isatty() else _WIDE
    return _Console(width=width, highlight=False, soft_wrap=not sys.stdout.isatty())


@contextmanager
def until_closed() -> Iterator[None]:
    """Print until the reader (`| head`) has what it wanted; the rest goes nowhere quietly."""
    try:
        yield
    except BrokenPipeError:
        sys.stdout = None


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 file``, ``1,024 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: int | None) -> str:
    """Bytes in a unit that a person reads: ``41.2 kB``; a dash if not known."""
    if number is None:
        return "-"
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


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


class Bar(Progress):
    """Draws progress on a terminal's stderr, once work has lasted half a second."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._what = ""
        self._files = 0
        self._done = 0
        self._bytes = 0
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        return self if sys.stderr.isatty() else Progress()

    def __exit__(self, *_: object) -> None:
        self._close()

    def begin(self, what: str, files: int, size: int | None = None) -> None:  # noqa: ARG002
        """A new phase."""
        self._close()
        self._what, self._files, self._done, self._bytes = what, files, 0, 0
        self._began = time.monotonic()

    def advance(self, files: int = 0, size: int = 0) -> None:
        """So many more files and bytes."""
        self._done += files
        self._bytes += size
        if self._bars is None and time.monotonic() - self._began > _PATIENCE:
            of_files = [TextColumn("files"), DownloadColumn(), TransferSpeedColumn()]
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                *(of_files if self._files else []),
                console=Console(stderr=True),
                transient=True,
            )
            self._bars.start()
            self._task = self._bars.add_task(self._what, total=self._files or None)
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self._done)

    def _close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = self._task = None
