"""``mlflow-dvc link``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.lineage.derivation.link import LinkedRun, link
from mlflow_dvc_plugin.lineage.derivation.model_versions import LinkedModel, link_models


@click.command("link")
@output.experiment_option
@click.option("--models", is_flag=True, help="Tag model versions with the data of their runs.")
@click.option("--dry-run", is_flag=True, help="Show what would be linked, and write nothing.")
@output.common_options
def command(
    experiments: tuple[str, ...],
    models: bool,
    dry_run: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> int:
    """Link the outputs of DVC stages to the runs that made them.

    Use it after `dvc repro`: DVC hashes the outputs of a stage when the stage is
    over. The run gets them as dvc.out.<path> tags, for `find` and `log`. If it is
    not certain which run made the outputs of a stage, no run is tagged.

    With --models, each version of each registered model gets the data tags of the run
    that it comes from: dvc.run_id, dvc.data_hash, dvc.status and the hashes of the
    outputs. A call that was interrupted can be repeated: it skips what is done.

    Exits with 1 if nothing was linked.
    """
    if models and experiments:
        raise click.UsageError("Use only one of --models and --experiment.")
    if models:
        return _link_models(dry_run, tracking_uri, as_json)
    with ProgressBar():
        linked, unlinked = link(experiments=experiments, dry_run=dry_run, tracking_uri=tracking_uri)
    remarks = [f"{stage} was not linked: {reason}." for stage, reason in unlinked.items()]
    document = [run.to_dict() for run in linked]
    output.print_result(document, as_json, lambda: _draw(linked, unlinked, dry_run), remarks)
    return 0 if linked else 1


def _link_models(dry_run: bool, tracking_uri: str | None, as_json: bool) -> int:
    with ProgressBar() as progress:
        found = list(link_models(dry_run=dry_run, tracking_uri=tracking_uri, progress=progress))
    output.print_result(
        [model.to_dict() for model in found], as_json, lambda: _draw_models(found, dry_run)
    )
    return 0 if any(model.tags for model in found) else 1


def _draw_models(found: list[LinkedModel], dry_run: bool) -> None:
    for each in found:
        if each.skipped:
            output.print_line(f"{each.model}  was not linked: {each.skipped}", "yellow")
        elif each.changed:
            output.print_line(f"{each.model}  {each.tags['dvc.data_hash']}  {each.model.run_id}")
    changed = sum(each.changed for each in found)
    same = sum(bool(each.tags) for each in found) - changed
    if not found:
        output.print_line("There is nothing to link: the registry has no model versions.")
        return
    verb = "Would link" if dry_run else "Linked"
    line = f"{verb} {output.format_count(changed, 'model version')} to the data of their runs."
    output.print_line(f"{line} {same:,} were linked before." if same else line)


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
