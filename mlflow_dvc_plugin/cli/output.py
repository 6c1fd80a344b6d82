"""What commands share: common options, and output for people and for scripts."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, TypeVar, cast

import click

from mlflow_dvc_plugin import units
from mlflow_dvc_plugin.errors import OptionsError

_F = TypeVar("_F", bound=Callable[..., Any])
_NAME = 40  # characters
STDIN = "-"
format_count, format_number, format_size = (
    units.format_count,
    units.format_number,
    units.format_size,
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


tracking_uri_option = click.option(
    "--tracking-uri",
    metavar="URI",
    help="The MLflow store. [default: MLFLOW_TRACKING_URI, or MLflow's own default]",
)
experiment_option = click.option(
    "--experiment",
    "experiments",
    metavar="NAME",
    multiple=True,
    help="Only runs of this experiment. Can be used several times.",
)


def origin_options(command: _F) -> _F:
    """Add ``--url`` and ``--config``, which say where data is outside a clone of the project.

    They exclude or need other options: what breaks that is wrong usage.
    """

    @wraps(command)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except OptionsError as err:
            raise click.UsageError(str(err)) from err

    url = click.option(
        "--url",
        metavar="URL",
        help="The address of a DVC remote, such as s3://bucket/dvc; no clone is needed then. "
        "[default outside a clone: MLFLOW_DVC_URL]",
    )
    config = click.option(
        "--config", metavar="FILE", help="The same, with a DVC configuration file."
    )
    return cast(_F, url(config(call)))


def common_options(command: _F) -> _F:
    """Add ``--tracking-uri`` and ``--json``, which all commands with a result have."""
    as_json = click.option(
        "--json", "as_json", is_flag=True, help="Print the result as one JSON document."
    )
    return tracking_uri_option(as_json(command))


def read_words(texts: Iterable[str]) -> list[str]:
    """The texts of an option; ``-`` stands for the first word of each line on stdin.

    So the output of ``md5sum`` is a list of hashes. It may have names in any encoding, and
    a backslash before a hash.
    """
    words: list[str] = []
    for text in texts:
        if text == STDIN:
            words += [line.split()[0].lstrip("\\") for line in sys.stdin if line.strip()]
        else:
            words.append(text)
    return words


def to_project_path(
    ctx: click.Context,  # noqa: ARG001 - click passes it
    param: click.Parameter,
    path: str | None,
) -> str | None:
    """A path relative to the working directory, made relative to the project if there is one."""
    from mlflow_dvc_plugin.capturing import find_project

    root = find_project() if path else None
    if root is None or path is None:
        return path
    inside = os.path.relpath(os.path.abspath(path), root).replace(os.sep, "/")
    if inside == ".." or inside.startswith("../"):
        raise click.BadParameter(f"{path} is outside the project {root}.", param=param)
    return inside


def explain_missing_metrics(names: Iterable[str], found: Iterable[str]) -> list[str]:
    """Which of the metrics that the user named no run has."""
    return [
        f"None of these runs has a metric {name!r}. Check the name in MLflow."
        for name in sorted({*names} - {*found})
    ]


def explain_modified(paths: Sequence[str], verb: str) -> list[str]:
    """That data which was modified when a run started is not what was pushed or pinned."""
    if not paths:
        return []
    remark = (
        f"The run read something else, which was not saved, at {', '.join(paths)}. What the "
        f"metafiles recorded was {verb}."
    )
    return [remark]


def explain_missing_path(path: str) -> list[str]:
    """Why no run may have an out at a path."""
    from mlflow_dvc_plugin.capturing import find_project
    from mlflow_dvc_plugin.lineage.workspace import explain_path

    root = find_project()
    if root is None:
        return [f"This is not a DVC project, so {path} is taken as relative to the runs' project."]
    return list(filter(None, [explain_path(root, path)]))


def print_line(text: str, colour: str | None = None, dim: bool = False) -> None:
    """Print a line of the result for a person."""
    write(add_style(to_printable(text), colour, dim))


def write(text: str = "", end: str = "\n") -> None:
    """Write to stdout, in its own encoding: click would write UTF-8 to a stream in ASCII."""
    click.echo(text + end, nl=False, file=sys.stdout)


def add_style(text: str, colour: str | None = None, dim: bool = False) -> str:
    """A text in a style, if stdout shows styles."""
    if not (colour or dim) or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=colour, dim=dim or None)


def print_note(text: str) -> None:
    """Print something besides the result, on stderr."""
    click.secho(to_printable(text), err=True, fg="yellow")


def to_printable(text: str) -> str:
    """Text from tags, safe for a terminal: without characters that move the cursor or hide."""
    return "".join(c if c.isprintable() else _REPLACEMENT for c in text)


def shorten_name(name: str) -> str:
    """The name of a run, cut if it is long."""
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def format_time(milliseconds: int) -> str:
    """A time of a run, in the local time zone."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))


def print_result(
    document: Any, as_json: bool, draw: Callable[[], None], remarks: Iterable[str] = ()
) -> None:
    """Print the result of a command: as JSON for a script, else as a person reads it.

    The remarks say what limits the result; they follow it, and for scripts go to stderr.
    """
    if as_json:
        print_json(document)
    else:
        draw()
    for remark in remarks:
        if as_json:
            print_note(remark)
        else:
            print_line(remark, "yellow")


def print_json(document: Any) -> None:
    """Print one JSON document on stdout, a list item by item: it may be very long."""
    if not isinstance(document, list):
        write(_to_json(document, indent=2))
        return
    separator = "["
    for item in document:
        write(f"{separator}\n  {_to_json(item)}", end="")
        separator = ","
    write("[]" if separator == "[" else "\n]")


def _to_json(document: Any, indent: int | None = None) -> str:
    try:
        text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:  # JSON has no NaN, and nothing infinite
        return _to_json(_replace_infinite(document), indent)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file name that is not UTF-8, or a terminal
        return json.dumps(document, indent=indent)
    return text


def _replace_infinite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _replace_infinite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_infinite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def until_closed() -> Iterator[None]:
    """Print until the reader (`| head`) closes the pipe, and drop the rest without an error."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = None


def write_file(path: str, data: bytes) -> None:
    """Replace a file at once; one that has these bytes stays as it is."""
    temporary = f"{path}.mlflow-dvc-tmp"
    try:
        with suppress(FileNotFoundError), open(path, "rb") as file:
            if file.read() == data:
                return
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as err:
        with suppress(OSError):
            os.unlink(temporary)
        raise click.ClickException(
            f"{path} cannot be written ({err.strerror}). Make its folder, or name another file."
        ) from err
