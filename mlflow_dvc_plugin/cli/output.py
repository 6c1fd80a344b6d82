"""What commands share to speak to people and to scripts."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.lineage.workspace import near, root_of, state_now

_F = TypeVar("_F", bound=Callable[..., Any])
_NAME = 40  # characters
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


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
        how = "is modified" if status == "modified" else "lacks some data"
        note(f"The workspace {how}: {what} `dvc status` tells what differs from them.")


def note_metrics(names: Iterable[str], known: Iterable[str]) -> None:
    """Tell a person which of the metrics that were asked for no run has."""
    for name in sorted({*names} - {*known}):
        note(f"None of these runs has a metric {printable(name)!r}: check the name in MLflow.")


def note_near(path: str) -> None:
    """Tell a person why nothing may have been found at a path of the project."""
    root = find_project()
    if root is None:
        note(f"This is no DVC project, so {path} was taken for a path relative to the runs' own.")
    elif hint := near(root, path):
        note(hint)


def say(text: str, colour: str | None = None, dim: bool = False) -> None:
    """Tell a person a line of the result."""
    no_colour = False if os.environ.get("NO_COLOR") else None
    click.secho(printable(text), fg=colour, dim=dim, color=no_colour)


def note(text: str) -> None:
    """Tell a person something beside the result."""
    click.secho(printable(text), err=True, fg="yellow")


def printable(text: str) -> str:
    """Text from tags, safe for a terminal: nothing in it moves the cursor or hides."""
    return "".join(c if c.isprintable() else _REPLACEMENT for c in text)


def short(name: str) -> str:
    """A name of a run, safe for a terminal, and cut if it is long."""
    return printable(name if len(name) <= _NAME else f"{name[: _NAME - 1]}…")


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
    try:
        text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:  # JSON has no NaN, and nothing infinite
        return _dumped(_finite(document), indent)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file name that is not UTF-8, or a terminal
        return json.dumps(document, indent=indent)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def until_closed() -> Iterator[None]:
    """Print until the reader (`| head`) has what it wanted; the rest goes nowhere quietly."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
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
