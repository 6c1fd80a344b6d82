"""The command line: ``mlflow-dvc COMMAND``.

One module a command; each is loaded only when it is called, so that help is
quick. Only this package prints, and only it knows exit codes.
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

# In the order that a new user needs them, each with the package that has it.
COMMANDS = {
    "status": "capturing",
    "show": "lineage",
    "restore": "restoring",
    "undo": "restoring",
    "diff": "lineage",
    "find": "lineage",
    "log": "lineage",
    "link": "capturing",
    "check": "lineage",
    "push": "restoring",
    "pin": "restoring",
    "unpin": "restoring",
    "tag": "capturing",
    "backfill": "capturing",
    "export": "capturing",
    "demo": "restoring",
}

# By default MLflow asks a server that does not answer for minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_ALLOCATIONS = 1_000_000  # until garbage is collected
_EXPECTED_FAILURE = 1
_INTERRUPTED = 130


def text(value: str) -> str:
    """Any text but an empty one: that is a shell's unset variable, and means nothing here."""
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
                param.type = click.types.FuncParamType(text)
        return command

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
    """Know which DVC data made an MLflow run, and bring it back."""


def _accept_any_output() -> None:
    """Print into streams that are closed, or in which not every character can be written."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_unwritten() -> None:
    """Keep Python from trying once more, as it exits, to write what a full disk did not take."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str) -> NoReturn:
    from mlflow_dvc_plugin.cli.output import printable

    click.secho("Error: ", nl=False, err=True, fg="red")
    click.echo(printable(text), err=True)
    sys.exit(_EXPECTED_FAILURE)


def main(args: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # MLflow and a large folder's files are a million objects that all live on: it takes
    # long to look through them for garbage again and again.
    gc.set_threshold(_ALLOCATIONS, 50, 50)
    _accept_any_output()
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        code = cli.main(args=args, prog_name="mlflow-dvc", standalone_mode=False)
    except click.ClickException as err:
        err.show()
        sys.exit(err.exit_code)
    except MlflowDvcError as err:
        _fail(str(err))
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(_INTERRUPTED)
    except OSError as err:  # a full disk, say
        _forget_unwritten()
        where = f": {err.filename}" if err.filename else ""
        _fail(f"{err.strerror or err}{where}. Mend that, then run the same command again.")
    except Exception as err:  # noqa: BLE001 - a person gets one line, whatever it is
        what = f"{type(err).__name__}: {err}".splitlines()[0]
        _fail(f"{what}. This is a defect of mlflow-dvc: please report it.")
    sys.exit(code if isinstance(code, int) else 0)
