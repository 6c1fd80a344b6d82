"""``mlflow-dvc backfill --experiment NAME``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar

_TAGGED = "There is nothing to tag: all runs have DVC tags, or have no Git commit."
_INDEXED = "There is nothing to tag: all runs with DVC tags have dvc.hashes."


@click.command("backfill")
@output.experiment_option
@click.option(
    "--index",
    is_flag=True,
    help="Add dvc.hashes to runs that have DVC tags without it, of all experiments if none is "
    "named.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be tagged, and write nothing.")
@output.common_options
def command(
    experiments: tuple[str, ...],
    *,
    index: bool,
    dry_run: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> int:
    """Tag old runs with the data of their Git commits, or with an index of their hashes.

    MLflow recorded the commit of each run that was started in a Git repository.

    The tags say that they are derived, and that nobody observed the data:
    dvc.source is `derived`, dvc.status is `unverified`. Runs that have DVC tags do
    not change.

    With --index, runs of earlier releases get the tag dvc.hashes, by which MLflow and
    `find --hash` find them at once. Run the command again if it was interrupted.

    Exits with 1 if runs need tags, but none could be tagged.
    """
    from mlflow_dvc_plugin.lineage.derivation.backfill import backfill
    from mlflow_dvc_plugin.lineage.derivation.hash_index import index_runs

    if not experiments and not index:
        raise click.UsageError("Name an experiment with --experiment.")
    add_tags, nothing = (index_runs, _INDEXED) if index else (backfill, _TAGGED)
    with ProgressBar() as progress:
        done = list(
            add_tags(experiments, dry_run=dry_run, tracking_uri=tracking_uri, progress=progress)
        )
    tagged = sum(not run.skipped for run in done)
    remarks = [f"{run.run_id} cannot be tagged: {run.skipped}" for run in done if run.skipped]

    summary = nothing
    if done:
        verb = "Would tag" if dry_run else "Tagged"
        runs = output.format_count(tagged, "run")
        summary = f"{verb} {runs}; {len(remarks):,} cannot be tagged."
    document = [run.to_dict() for run in done]
    output.print_result(document, as_json, lambda: output.print_line(summary), remarks)
    return 1 if done and not tagged else 0
