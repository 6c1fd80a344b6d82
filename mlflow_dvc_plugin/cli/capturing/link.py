"""``mlflow-dvc link``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.lineage.derivation.link import LinkedRun, link


@click.command("link")
@output.experiment_option
@click.option("--dry-run", is_flag=True, help="Show what would be linked, and write nothing.")
@output.common_options
def command(
    experiments: tuple[str, ...], dry_run: bool, tracking_uri: str | None, as_json: bool
) -> int:
    """Link the outputs of DVC stages to the runs that made them.

    Use it after `dvc repro`: DVC hashes the outputs of a stage when the stage is
    over. The run gets them as dvc.out.<path> tags, for `find` and `log`. If it is
    not certain which run made the outputs of a stage, no run is tagged.

    Exits with 1 if no stage was linked.
    """
    with ProgressBar():
        linked, unlinked = link(experiments=experiments, dry_run=dry_run, tracking_uri=tracking_uri)
    remarks = [f"{stage} was not linked: {reason}." for stage, reason in unlinked.items()]
    document = [run.to_dict() for run in linked]
    output.print_result(document, as_json, lambda: _draw(linked, unlinked, dry_run), remarks)
    return 0 if linked else 1


def _draw(linked: list[LinkedRun], unlinked: dict[str, str], dry_run: bool) -> None:
    for run in linked:
        output.print_line(f"{run.run_id}  {run.stage}")
        for path, value in run.outs.items():
            output.print_line(f"  {path}  {value}")
    if linked:
        verb = "Would link" if dry_run else "Linked"
        stages = output.format_count(len(linked), "stage")
        whose = "its run" if len(linked) == 1 else "their runs"
        output.print_line(f"{verb} {stages} to {whose}.")
    elif unlinked:
        output.print_line("No stage was linked.")
    else:
        output.print_line("There is nothing to link: dvc.lock records no cached outputs of stages.")
