"""``mlflow-dvc undo``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.restore import draw
from mlflow_dvc_plugin.restore import undo


@click.command("undo")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--force", is_flag=True, help="Save unsaved content that is in the way, and go on.")
@output.tracking_uri_option
@output.json_option
def command(dry_run: bool, force: bool, tracking_uri: str | None, as_json: bool) -> None:  # noqa: ARG001
    """Take the last restore back: data and metafiles are as they were before it.

    A second undo takes the first one back.
    """
    with output.Bar() as progress:
        result = undo(dry_run=dry_run, force=force, progress=progress)
    if as_json:
        output.print_json(result.to_dict())
    else:
        draw(result)
