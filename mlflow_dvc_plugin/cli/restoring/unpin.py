"""``mlflow-dvc unpin RUN``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli.output import common_options, print_line, print_result
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar


@click.command("unpin")
@click.argument("run")
@common_options
def command(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Delete the Git tag of RUN. `dvc gc` may then remove its data."""
    from mlflow_dvc_plugin.lineage.retention.pin import unpin

    with ProgressBar():
        pinned = unpin(run, tracking_uri)
    again = f"git tag {pinned.ref.removeprefix('refs/tags/')} {pinned.commit[:12]}"
    summary = f"Run {pinned.run_id} is no longer pinned. To pin it again: {again}"
    print_result(pinned.to_dict(), as_json, lambda: print_line(summary))
