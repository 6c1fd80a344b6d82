"""Write docs/reference/commands.md: what `mlflow-dvc COMMAND --help` says.

Run it after a change of a command: `python docs/scripts/commands.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from mlflow_dvc_plugin.cli import _GROUPS, cli

PAGE = Path(__file__).parents[1] / "reference/commands.md"
INTRODUCTION = """\
# Commands

<!-- docs/scripts/commands.py writes this page from `mlflow-dvc COMMAND --help`. -->

## RUN

A RUN is a run id or the start of one, `runs:/ID`, or a model that the run produced:
`models:/NAME/VERSION`, `models:/NAME/latest`, `models:/NAME@ALIAS`, or `models:/ID` for a logged
model of MLflow 3.

## What all commands have in common

Results go to stdout, messages and progress to stderr. With `--json`, stdout has one JSON document
and nothing else. An expected failure is one line that begins with `Error:`;
[Error messages](../error-messages.md) explains the usual ones.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | it failed, or the answer is no |
| 2 | wrong usage; of `rerun`: the run could not be repeated |
| 130 | interrupted |
"""


def render_commands() -> str:
    """The text of the page."""
    return "\n".join([INTRODUCTION, *_render_groups()])


def _render_groups() -> Iterator[str]:
    context = click.Context(cli, info_name="mlflow-dvc")
    for heading, names in _GROUPS.values():
        yield f"## {heading}\n"
        for name in names:
            command = cli.get_command(context, name)
            assert command is not None
            yield from _render_command(command, click.Context(command, context, name))


def _render_command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"### {command.name}\n"
    yield f"`{' '.join(command.get_usage(context).removeprefix('Usage: ').split())}`\n"
    text = inspect.cleandoc(command.help or "").replace("\b\n", "").replace("\f", "")
    yield f"{_escape(text)}\n"
    yield "| option | what it does |"
    yield "| --- | --- |"
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            yield f"| `{_name_option(option)}` | {_escape(_to_line(option.help or ''))} |"
    yield ""


def _name_option(option: click.Option) -> str:
    names = "/".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    kind = option.type
    values = "\\|".join(kind.choices) if isinstance(kind, click.Choice) else kind.name.upper()
    return f"{names} {option.metavar or values}"


def _to_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _escape(text: str) -> str:
    """What Markdown would take for HTML or a link as it stands."""
    return text.replace("<", "&lt;").replace("[", "\\[")


if __name__ == "__main__":
    PAGE.write_text(render_commands(), encoding="utf-8")
