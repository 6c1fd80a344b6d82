"""``mlflow-dvc tag RUN``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.derivation.backfill import tag


@click.command("tag")
@click.argument("run")
@click.option("--rev", metavar="REV", help="Tag with the data of this Git revision instead.")
@click.option("--force", is_flag=True, help="Replace the DVC tags that the run has.")
@output.tracking_uri_option
@output.json_option
def command(
    run: str, rev: str | None, force: bool, tracking_uri: str | None, as_json: bool
) -> None:
    """Record the data of the workspace in RUN, which exists already.

    For runs that MLflow asks no plugin about: those that are resumed, or made
    by MlflowClient. With --rev the tags say that they are derived from Git and
    that nobody observed the data: dvc.source is `derived`.
    """
    with Bar():
        result = tag(run, rev=rev, force=force, tracking_uri=tracking_uri)
    if as_json:
        output.print_json(result.to_dict())
        return
    click.echo(f"Tagged run {result.run_id}: data hash {result.tags['dvc.data_hash']}.")
