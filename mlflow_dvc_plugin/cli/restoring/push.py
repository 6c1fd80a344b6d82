"""``mlflow-dvc push RUN``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.retention.push import push


@click.command("push")
@click.argument("run")
@click.option("--remote", "-r", metavar="NAME", help="The DVC remote to push to.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="How many objects to send at once.")
@output.tracking_uri_option
@output.json_option
def command(
    run: str, remote: str | None, jobs: int | None, tracking_uri: str | None, as_json: bool
) -> None:
    """Upload what the remote lacks of the data of RUN.

    Outputs that are `push: false` are never pushed.
    """
    with Bar() as progress:
        result = push(run, remote=remote, jobs=jobs, tracking_uri=tracking_uri, progress=progress)
    for path, reason in result.skipped.items():
        output.note(f"Not pushed: {path}: {reason}.")
    if as_json:
        output.print_json(result.to_dict())
        return
    pushed = output.count(result.pushed, "object")
    click.echo(f"Pushed {pushed}; {result.present:,} were there already.")
