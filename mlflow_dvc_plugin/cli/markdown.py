"""Results as Markdown, for comments on pull requests.

The first line is a mark that readers do not see. It does not depend on the result, so that
a bot finds its earlier comment and writes the new result in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import click

from mlflow_dvc_plugin.cli.output import to_printable, write

markdown_option = click.option(
    "--md", "as_markdown", is_flag=True, help="Print Markdown, for a comment on a pull request."
)
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+.!|~-])")
_MENTION = "@\N{ZERO WIDTH SPACE}"  # does not notify a person of this name


def check_format(*, as_json: bool, as_markdown: bool) -> None:
    """Refuse two formats at once."""
    if as_json and as_markdown:
        raise click.UsageError("--json and --md exclude each other.")


def to_code(text: str) -> str:
    """Text from a run or a project as code, in which nothing has a meaning."""
    text = to_printable(text).replace("|", r"\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    gap = " " if "`" in text else ""
    return f"{fence}{gap}{text}{gap}{fence}" if text.strip() else ""


def escape(text: str) -> str:
    """A sentence with text from a run or a project, in which nothing has a meaning."""
    text = to_printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", text).replace("@", _MENTION)


def draw_markdown(
    command: str,
    heading: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    remarks: Iterable[str] = (),
) -> None:
    """Print a heading, a table and remarks, after the mark of a command.

    The heading and the cells are Markdown; the remarks are text.
    """
    write(f"<!-- mlflow-dvc {command} -->")
    write(f"### {heading}")
    table = [list(row) for row in rows]
    if table:
        write()
        for row in (list(columns), ["---"] * len(columns), *table):
            write(f"| {' | '.join(row)} |")
    for remark in remarks:
        write(f"\n{escape(remark)}")
