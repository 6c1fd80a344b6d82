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
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# The commands of each sub-package, their heading in --help, and what each does: so --help and
# a shell's completion import none of them. A test compares this with the commands' own help.
_GROUPS = {
    "capturing": (
        "Record the data of runs",
        {
            "status": "Show what a run that starts here would record, and what is wrong.",
            "link": "Link the outputs of DVC stages to the runs that made them.",
            "tag": "Record the data in the workspace for an existing RUN.",
            "backfill": "Tag old runs with the data of their Git commits, or with an index of "
            "their hashes.",
            "export": "Write the data state to a file, for runs outside the project.",
        },
    ),
    "lineage": (
        "Find and compare runs by data",
        {
            "show": "Show the data that RUN recorded.",
            "diff": "Compare the data of A with that of B, or with the workspace.",
            "find": "Find runs by their data, the newest first.",
            "log": "Show the versions of the output at PATH over the runs.",
            "check": "Check whether the data of runs can be restored.",
            "graph": "Show what models and runs rest on, down to the data.",
            "report": "Write the data side of runs as one HTML file to look at.",
        },
    ),
    "restoring": (
        "Restore, read and keep the data of runs",
        {
            "restore": "Make the workspace hold the data that RUN was made from.",
            "undo": "Take the last restore back: data and metafiles are as they were before it.",
            "rerun": "Run what made RUN again, and compare what comes out.",
            "ls": "List the data of RUN without restoring it.",
            "cat": "Print one file of the data of RUN without restoring it.",
            "push": "Upload the data of RUN that the remote lacks.",
            "pin": "Keep the data of RUN from `dvc gc --all-tags`.",
            "unpin": "Delete the Git tag of RUN.",
            "forget": "Show what rests on some data, and delete it for ever.",
            "demo": "Run an example: train on two versions of data, and restore the first.",
        },
    ),
    "setup": (
        "Set up mlflow-dvc",
        {
            "doctor": "Show what works together here, and what is wrong, to paste into an issue.",
            "completion": "Print the script with which SHELL completes mlflow-dvc.",
        },
    ),
}
COMMANDS = {name: room for room, (_, helps) in _GROUPS.items() for name in helps}

# For the commands' own requests. By default, MLflow tries a server that does not answer for
# minutes.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_ALLOCATIONS = 1_000_000  # until garbage is collected
_EXPECTED_FAILURE = 1
_INTERRUPTED = 130


class _Text(click.types.StringParamType):
    """A text that is not empty: an empty one comes from an unset variable of the shell."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(value, param, ctx) or self.fail("it is empty.", param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click passes it
        param: click.Parameter,
        incomplete: str,
    ) -> list[CompletionItem]:
        """A shell completes the names of files and folders itself."""
        from click.shell_completion import CompletionItem

        what = param.metavar or str(param.name).upper()
        kinds = (("DIR", "dir"), ("FILE", "file"), ("PATH", "file"))
        return [CompletionItem(incomplete, type=kind) for word, kind in kinds if word in what][:1]


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
                param.type = _Text()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for heading, helps in _GROUPS.values():
            with formatter.section(heading):
                formatter.write_dl(list(helps.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        helps = {name: text for _, some in _GROUPS.values() for name, text in some.items()}
        found = [CompletionItem(n, help=helps[n]) for n in COMMANDS if n.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

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
        if isinstance(err, ModuleNotFoundError) and __name__.partition(".")[0] not in str(err.name):
            _exit_with_error(
                f"This command needs {err.name}, which is not installed in this environment. Run "
                "`pip install mlflow-dvc-plugin`: it installs all that is needed."
            )
        what = f"{type(err).__name__}: {err}".splitlines()[0]
        _exit_with_error(
            f"{what}. This is a defect of mlflow-dvc: please report it with the output of "
            "`mlflow-dvc doctor`."
        )
    sys.exit(code if isinstance(code, int) else 0)
