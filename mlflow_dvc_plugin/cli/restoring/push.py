"""``mlflow-dvc push RUN``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar


@click.command("push")
@click.argument("run")
@click.option("--remote", "-r", metavar="NAME", help="The DVC remote to push to.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="How many objects to send at once.")
@output.common_options
def command(
    *, run: str, remote: str | None, jobs: int | None, tracking_uri: str | None, as_json: bool
) -> int:
    """Upload the data of RUN that the remote lacks.

    Outputs that are `push: false` are never pushed. Exits with 1 if the remote then
    has nothing of the run.
    """
    from mlflow_dvc_plugin.lineage.retention.push import push

    with ProgressBar() as progress:
        result = push(run, remote=remote, jobs=jobs, tracking_uri=tracking_uri, progress=progress)
    remarks = [f"{path} was not pushed: {reason}." for path, reason in result.skipped.items()]
    remarks += output.explain_modified(result.modified, "pushed")
    pushed = output.format_count(result.pushed, "object")
    summary = f"Pushed {pushed}; {result.present:,} were already in the remote."
    output.print_result(result.to_dict(), as_json, lambda: output.print_line(summary), remarks)
    return 0 if result.pushed or result.present else 1
