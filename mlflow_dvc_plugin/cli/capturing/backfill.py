"""``mlflow-dvc backfill --experiment NAME``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.derivation.backfill import backfill


@click.command("backfill")
@output.experiment_option
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@output.tracking_uri_option
@output.json_option
def command(
    experiments: tuple[str, ...], dry_run: bool, tracking_uri: str | None, as_json: bool
) -> None:
    """Give old runs the data tags of the Git commits that MLflow recorded for them.

    The tags say that they are derived and that nobody observed the data:
    dvc.source is `derived`, dvc.status `unverified`. Runs that have DVC tags
    are left alone.
    """
    if not experiments:
        raise click.UsageError("Name an experiment with --experiment.")
    with Bar() as progress:
        done = list(
            backfill(experiments, dry_run=dry_run, tracking_uri=tracking_uri, progress=progress)
        )
    if as_json:
        output.print_json_list(run.to_dict() for run in done)
        return
    tagged = [run for run in done if not run.skipped]
    for run in done:
        if run.skipped:
            output.note(f"{run.run_id}: {run.skipped}")
    would = "Would tag" if dry_run else "Tagged"
    skipped = len(done) - len(tagged)
    click.echo(f"{would} {output.count(len(tagged), 'run')}; {skipped:,} cannot be.")
