"""``mlflow-dvc link``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.derivation.link import link


@click.command("link")
@output.experiment_option
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@output.tracking_uri_option
@output.json_option
def command(
    experiments: tuple[str, ...], dry_run: bool, tracking_uri: str | None, as_json: bool
) -> None:
    """Tie what DVC stages made to the runs that made it. Use it after `dvc repro`.

    DVC hashes what a stage made when its run is over; this adds it to the run
    as dvc.out.<path> tags, for `find` and `log`. A stage whose run is in doubt
    is left.
    """
    with Bar():
        found = link(experiments=experiments, dry_run=dry_run, tracking_uri=tracking_uri)
    for stage, reason in found.left.items():
        output.note(f"{stage}: {reason}.")
    if as_json:
        output.print_json([run.to_dict() for run in found.runs])
        return
    for run in found.runs:
        click.echo(f"{run.run_id}  {output.printable(run.stage)}")
        for path, value in run.outs.items():
            click.echo(f"  {output.printable(path)}  {value}")
    would = " (nothing was written)" if dry_run else ""
    click.echo(f"{output.count(len(found.runs), 'stage')} tied to their runs{would}.")
