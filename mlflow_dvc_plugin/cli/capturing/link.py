"""``mlflow-dvc link``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from mlflow_dvc_plugin.lineage.derivation.link import LinkedRun
    from mlflow_dvc_plugin.lineage.derivation.model_versions import LinkedModel


@click.command("link")
@click.argument("path", required=False, callback=output.to_project_path)
@output.experiment_option
@click.option(
    "--model", metavar="NAME", help="Register the output at PATH as a version of this model."
)
@click.option("--run", metavar="RUN", help="The run that made the output at PATH.")
@click.option("--models", is_flag=True, help="Tag model versions with the data of their runs.")
@click.option("--dry-run", is_flag=True, help="Show what would be linked, and write nothing.")
@output.common_options
def command(
    path: str | None,
    *,
    experiments: tuple[str, ...],
    model: str | None,
    run: str | None,
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

    With --model NAME, the output at PATH becomes a version of a registered model, tied
    to the run that made it. MLflow gets a reference, not a copy. `restore --model` brings
    the model's own bytes.

    Exits with 1 if nothing was linked.
    """
    from mlflow_dvc_plugin.lineage.derivation.link import link

    if sum(map(bool, (models, experiments, model))) > 1:
        raise click.UsageError("Use only one of --models, --model and --experiment.")
    if bool(path) != bool(model) or (run and not model):
        raise click.UsageError(
            "PATH needs --model NAME, and --model and --run need PATH: together, they register "
            "PATH as a version of the model NAME."
        )
    if model and path:
        return _link_model(
            model, path, run=run, dry_run=dry_run, tracking_uri=tracking_uri, as_json=as_json
        )
    if models:
        return _link_models(dry_run, tracking_uri, as_json)
    with ProgressBar():
        linked, unlinked = link(experiments=experiments, dry_run=dry_run, tracking_uri=tracking_uri)
    remarks = [f"{stage} was not linked: {reason}." for stage, reason in unlinked.items()]
    remarks += [
        f"While run {run.run_id} of {run.stage} was running, its inputs changed: "
        f"{', '.join(run.changed)}. It may not have made its outputs from what it recorded."
        for run in linked
        if run.changed
    ]
    document = [run.to_dict() for run in linked]
    output.print_result(document, as_json, lambda: _draw(linked, unlinked, dry_run), remarks)
    return 0 if linked else 1


def _link_model(name: str, path: str, *, as_json: bool, **options: Any) -> int:
    from mlflow_dvc_plugin.lineage.derivation.model_reference import link_model

    with ProgressBar():
        found = link_model(name, path, **options)
    run_id = found.model.run_id
    if not found.changed:
        line = f"{path} is {found.model} already, from run {run_id}."
    elif options["dry_run"]:
        line = f"Would register {path} as a version of model {name}, from run {run_id}."
    else:
        line = f"Registered {path} as {found.model}, from run {run_id}. Its bytes stay in DVC."
    output.print_result(found.to_dict(), as_json, lambda: output.print_line(line))
    return 0


def _link_models(dry_run: bool, tracking_uri: str | None, as_json: bool) -> int:
    from mlflow_dvc_plugin.lineage.derivation.model_versions import link_models

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
