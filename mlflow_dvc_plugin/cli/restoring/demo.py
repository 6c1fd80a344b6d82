"""``mlflow-dvc demo [DIR]``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli.output import tracking_uri_option


@click.command("demo")
@click.argument("directory", required=False, metavar="[DIR]")
@tracking_uri_option
def command(directory: str | None, tracking_uri: str | None) -> None:  # noqa: ARG001
    """Run an example: train on two versions of data, and restore the first.

    DIR must be empty or not exist; without it, a temporary folder is made. The
    demo has an MLflow store of its own in there.
    """
    from mlflow_dvc_plugin.demo import run_demo

    run_demo(directory, click.echo)
