"""``mlflow-dvc tag RUN``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlflow_dvc_plugin.cli.output import common_options, print_line, print_result
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from mlflow_dvc_plugin.lineage.derivation.backfill import TaggedRun


@click.command("tag")
@click.argument("run")
@click.option("--rev", metavar="REV", help="Use the data of this Git revision instead.")
@click.option("--force", is_flag=True, help="Replace the DVC tags that the run has.")
@common_options
def command(
    run: str, rev: str | None, force: bool, tracking_uri: str | None, as_json: bool
) -> None:
    """Record the data in the workspace for an existing RUN.

    MLflow asks no plugin about runs that are resumed or created by MlflowClient.
    With --rev the tags say that they are derived from Git, and that nobody observed
    the data: dvc.source is `derived`.
    """
    from mlflow_dvc_plugin.lineage.derivation.backfill import tag

    with ProgressBar():
        result = tag(run, rev=rev, force=force, tracking_uri=tracking_uri)
    print_result(result.to_dict(), as_json, lambda: _draw(result))


def _draw(result: TaggedRun) -> None:
    from mlflow_dvc_plugin.state import fingerprint

    tags = result.tags
    print_line(
        f"Tagged run {result.run_id} with data hash {tags['dvc.data_hash']}, status "
        f"{tags['dvc.status']}."
    )
    if tags["dvc.data_hash"] == fingerprint(()):
        print_line("DVC tracks no data here, so the tags record none.", "yellow")
    if tags["dvc.status"] == "modified":
        print_line(
            f"The tags do not record the modified data: {tags.get('dvc.modified')}", "yellow"
        )
