"""``mlflow-dvc pin RUN``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.retention.pin import pin


@click.command("pin")
@click.argument("run")
@output.tracking_uri_option
@output.json_option
def command(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Keep the data of RUN from `dvc gc --all-tags`.

    Makes a Git tag on a commit that holds the run's metafiles. The workspace,
    the index and all branches stay as they are.
    """
    with Bar():
        pinned = pin(run, tracking_uri=tracking_uri)
    if as_json:
        output.print_json(pinned.to_dict())
        return
    name = pinned.ref.removeprefix("refs/tags/")
    click.echo(f"Pinned run {pinned.run_id}: Git tag {name} at {pinned.commit[:12]}.")
    click.echo(f"To keep it elsewhere too: git push origin {name}")
