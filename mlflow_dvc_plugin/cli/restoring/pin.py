"""``mlflow-dvc pin RUN``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.lineage.retention.pin import Pin, pin


@click.command("pin")
@click.argument("run")
@output.common_options
def command(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Keep the data of RUN from `dvc gc --all-tags`.

    Creates a Git tag on a commit with the run's metafiles. The workspace, the index
    and all branches do not change.
    """
    with ProgressBar():
        pinned = pin(run, tracking_uri)
    remarks = output.explain_modified(pinned.modified, "pinned")
    output.print_result(pinned.to_dict(), as_json, lambda: _draw(pinned), remarks)


def _draw(pinned: Pin) -> None:
    name = pinned.ref.removeprefix("refs/tags/")
    output.print_line(f"Pinned run {pinned.run_id}: Git tag {name} at {pinned.commit[:12]}.")
    output.print_line(f"To share it: git push origin {name}")
