"""``mlflow-dvc backfill --experiment NAME``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.lineage.derivation.backfill import backfill


@click.command("backfill")
@output.experiment_option
@click.option("--dry-run", is_flag=True, help="Show what would be tagged, and write nothing.")
@output.common_options
def command(
    experiments: tuple[str, ...], dry_run: bool, tracking_uri: str | None, as_json: bool
) -> int:
    """Tag old runs with the data of their Git commits.

    MLflow recorded the commit of each run that was started in a Git repository.

    The tags say that they are derived, and that nobody observed the data:
    dvc.source is `derived`, dvc.status is `unverified`. Runs that have DVC tags do
    not change.

    Exits with 1 if runs need tags, but none could be tagged.
    """
    if not experiments:
        raise click.UsageError("Name an experiment with --experiment.")
    with ProgressBar() as progress:
        done = list(
            backfill(experiments, dry_run=dry_run, tracking_uri=tracking_uri, progress=progress)
        )
    tagged = sum(not run.skipped for run in done)
    remarks = [f"{run.run_id} cannot be tagged: {run.skipped}" for run in done if run.skipped]

    summary = "There is nothing to tag: all runs have DVC tags, or have no Git commit."
    if done:
        verb = "Would tag" if dry_run else "Tagged"
        runs = output.format_count(tagged, "run")
        summary = f"{verb} {runs}; {len(remarks):,} cannot be tagged."
    document = [run.to_dict() for run in done]
    output.print_result(document, as_json, lambda: output.print_line(summary), remarks)
    return 1 if done and not tagged else 0
