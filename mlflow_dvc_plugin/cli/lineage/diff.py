"""``mlflow-dvc diff A [B]``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mlflow_dvc_plugin.cli.output import common_options, print_line, print_result
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.lineage.diff import Diff, Item, diff
from mlflow_dvc_plugin.tracking import Run, find_run


@click.command("diff")
@click.argument("a")
@click.argument("b", required=False)
@click.option("--files", is_flag=True, help="Compare the files in folders too.")
@common_options
def command(a: str, b: str | None, files: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Compare the data of run A with run B, or with the workspace.

    A and B are run ids, unique prefixes of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID. Without B, run A is
    compared with the data that is in the workspace now, added to DVC or not.

    --files reads the listings of folders from the cache or the remote. It downloads
    no data.
    """
    with ProgressBar("Comparing the data") as progress:
        runs = [find_run(text, tracking_uri) for text in (a, b) if text is not None]
        found = diff(*runs, files=files, tracking_uri=tracking_uri, progress=progress)
    document = found.to_dict(files)
    if any(run.model for run in runs):
        document["runs"] = [
            {"run_id": run.run_id, "model": run.model and run.model.to_dict()} for run in runs
        ]
    print_result(document, as_json, lambda: _draw(found, runs))


def _draw(found: Diff, runs: Sequence[Run]) -> None:
    _draw_models(runs)
    for sign, colour, item in _list_items(found):
        hashes = " → ".join(value for value in (item.old, item.new) if value)
        print_line(f"{sign}  {item.path}  {hashes}", colour)
        # An out that is a file is its own only file.
        if item.files and [file.path for file in item.files.items] != [item.path]:
            for file_sign, file_colour, file in _list_items(item.files):
                print_line(f"     {file_sign}  {file.path}", file_colour)
    for path, reason in found.unknown.items():
        print_line(f"?  {path}  ({reason})", dim=True)
    for path, reason in found.unverified.items():
        print_line(f"!  {path}  (compared by its metafile only: {reason})", dim=True)
    counts = {"added": found.added, "removed": found.removed, "modified": found.modified}
    summary = ", ".join(f"{len(items)} {name}" for name, items in counts.items())
    if found.unknown:
        summary += f", {len(found.unknown)} unknown"
    if found.items or found.unknown:
        print_line(f"{summary}.")
    elif found.unverified:
        print_line("The data is the same, as far as it was compared.")
    else:
        print_line("The data is the same.")


def _draw_models(runs: Sequence[Run]) -> None:
    if any(run.model for run in runs):
        for sign, run in zip(("---", "+++"), runs, strict=False):
            print_line(f"{sign}  {run.model or 'run'}  {run.run_id}", dim=True)


def _list_items(found: Diff) -> list[tuple[str, str, Item]]:
    """The items of a comparison, with the signs that Git and DVC use, and colours."""
    groups = (
        ("A", "green", found.added),
        ("D", "red", found.removed),
        ("M", "yellow", found.modified),
    )
    return [(sign, colour, item) for sign, colour, items in groups for item in items]
