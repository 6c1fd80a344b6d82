"""``mlflow-dvc pin RUN | --experiment NAME``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from mlflow_dvc_plugin.lineage.retention.pin import Pin


@click.command("pin")
@click.argument("run", required=False)
@output.experiment_option
@click.option("--saved", is_flag=True, help="Only runs for which MLFLOW_DVC_SAVE saved data.")
@output.common_options
def command(
    *,
    run: str | None,
    experiments: tuple[str, ...],
    saved: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> int:
    """Keep the data of RUN from `dvc gc --all-tags`.

    Creates a Git tag on a commit with the run's metafiles. The workspace, the index
    and all branches do not change.

    --experiment pins all runs of an experiment; with --saved, those whose data no
    metafile records. Exits with 1 if one of them cannot be pinned.
    """
    from mlflow_dvc_plugin.lineage.retention.pin import pin, pin_experiments

    if saved and run:
        raise click.UsageError("--saved needs --experiment: it selects among several runs.")
    if bool(run) == bool(experiments):
        raise click.UsageError("Name a run, or an experiment with --experiment.")
    if run:
        with ProgressBar():
            pinned = pin(run, tracking_uri)
        remarks = output.explain_modified(pinned.modified, "pinned")
        output.print_result(pinned.to_dict(), as_json, lambda: _draw([pinned]), remarks)
        return 0
    with ProgressBar("Pinning runs"):
        pins, unpinned = pin_experiments(experiments, saved=saved, tracking_uri=tracking_uri)
    output.print_result(
        [each.to_dict() for each in pins], as_json, lambda: _draw(pins), unpinned.values()
    )
    return 1 if unpinned else 0


def _draw(pins: list[Pin]) -> None:
    names = [pinned.ref.removeprefix("refs/tags/") for pinned in pins]
    for pinned, name in zip(pins, names, strict=True):
        output.print_line(f"Pinned run {pinned.run_id}: Git tag {name} at {pinned.commit[:12]}.")
    if pins:
        what = names[0] if len(names) == 1 else "'refs/tags/mlflow-dvc/*'"
        output.print_line(f"To share {'it' if len(names) == 1 else 'them'}: git push origin {what}")
