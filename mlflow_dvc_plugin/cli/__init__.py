"""The command line: ``mlflow-dvc COMMAND``.

Each command is a module, which is imported when it is called. Only this package
prints, and only this package knows exit codes.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.version import __version__

# The commands of each sub-package, and their heading in --help.
_GROUPS = {
    "capturing": ("Record the data of runs", ("status", "link", "tag", "backfill", "export")),
    "lineage": (
        "Find and compare runs by data",
        ("show", "diff", "find", "log", "check", "graph", "report"),
    ),
    "restoring": (
        "Restore, read and keep the data of runs",
        ("restore", "undo", "rerun", "ls", "cat", "push", "pin", "unpin", "forget", "demo"),
    ),
}
COMMANDS = {name: room for room, (_, names) in _GROUPS.items() for name in names}

# For the commands' own requests. By default, MLflow tries a server that does not answer for
# minutes.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_ALLOCATIONS = 1_000_000  # until garbage is collected
_EXPECTED_FAILURE = 1
_INTERRUPTED = 130


def require_text(value: str) -> str:
    """A text that is not empty: an empty one comes from an unset variable of the shell."""
    if not value:
        raise click.BadParameter("it is empty.")
    return value


class _Commands(click.Group):
    """Loads a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{COMMANDS[name]}.{name}").command
        for param in command.params:
            if param.type is click.STRING:
                param.type = click.types.FuncParamType(require_text)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, names in _GROUPS.values():
            commands = {name: self.get_command(ctx, name) for name in names}
            helps = [
                (name, each.get_short_help_str(100)) for name, each in commands.items() if each
            ]
            with formatter.section(heading):
                formatter.write_dl(helps)

    def invoke(self, ctx: click.Context) -> Any:
        from mlflow_dvc_plugin.cli.output import until_closed

        with until_closed():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as err:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"{err.message}{hint}", ctx) from err


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mlflow-dvc")
def cli() -> None:
    """Find out which DVC data an MLflow run used, and restore it."""


def _prepare_streams() -> None:
    """Let commands use streams that are closed, or that cannot encode or decode every character."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Drop what a full disk did not take, so that Python does not try again as it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_with_error(text: str) -> NoReturn:
    from mlflow_dvc_plugin.cli.output import to_printable

    click.secho("Error: ", nl=False, err=True, fg="red")
    click.echo(to_printable(text), err=True)
    sys.exit(_EXPECTED_FAILURE)


def main(args: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # MLflow and the files of a large folder make a million objects that stay in use: looking
    # for garbage among them again and again takes long.
    gc.set_threshold(_ALLOCATIONS, 50, 50)
    _prepare_streams()
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        code = cli.main(args=args, prog_name="mlflow-dvc", standalone_mode=False)
    except click.ClickException as err:
        err.show()
        sys.exit(err.exit_code)
    except MlflowDvcError as err:
        _exit_with_error(str(err))
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(_INTERRUPTED)
    except OSError as err:  # a full disk, say
        _drop_output()
        where = f": {err.filename}" if err.filename else ""
        _exit_with_error(
            f"{err.strerror or err}{where}. Correct that, then run the same command again."
        )
    except Exception as err:  # noqa: BLE001 - the user gets one line in any case
        what = f"{type(err).__name__}: {err}".splitlines()[0]
        _exit_with_error(f"{what}. This is a defect of mlflow-dvc: please report it.")
    sys.exit(code if isinstance(code, int) else 0)
