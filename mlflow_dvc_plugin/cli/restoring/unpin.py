"""``mlflow-dvc unpin RUN``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.retention.pin import unpin


@click.command("unpin")
@click.argument("run")
@output.tracking_uri_option
@output.json_option
def command(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Take the Git tag of RUN away; `dvc gc` may then remove its data."""
    with Bar():
        pinned = unpin(run, tracking_uri=tracking_uri)
    if as_json:
        output.print_json(pinned.to_dict())
        return
    name = pinned.ref.removeprefix("refs/tags/")
    click.echo(f"Run {pinned.run_id} is no longer pinned. To have it back: "
               f"git tag {name} {pinned.commit[:12]}")  # fmt: skip
