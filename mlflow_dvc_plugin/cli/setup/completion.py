"""``mlflow-dvc completion SHELL``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mlflow_dvc_plugin.cli import cli
from mlflow_dvc_plugin.cli.output import write


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script with which SHELL completes mlflow-dvc.

    \b
    bash, in ~/.bashrc:  eval "$(mlflow-dvc completion bash)"
    zsh, in ~/.zshrc after compinit:  eval "$(mlflow-dvc completion zsh)"
    fish:  mlflow-dvc completion fish > ~/.config/fish/completions/mlflow-dvc.fish
    """  # noqa: D301 - click wants this character
    complete = get_completion_class(shell)
    assert complete is not None
    write(complete(cli, {}, "mlflow-dvc", "_MLFLOW_DVC_COMPLETE").source())
