"""``mlflow-dvc undo``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlflow_dvc_plugin.cli.output import common_options, format_count, print_json, print_line
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.cli.restoring.restore import report

if TYPE_CHECKING:
    from mlflow_dvc_plugin.restoring.undo_records.record import UndoRecord


@click.command("undo")
@click.argument("record", required=False)
@click.option("--list", "show_list", is_flag=True, help="Show the records that can be taken back.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option("--force", is_flag=True, help="Save files that are in the way first, and go on.")
@common_options
def command(
    record: str | None,
    *,
    show_list: bool,
    dry_run: bool,
    force: bool,
    tracking_uri: str | None,  # noqa: ARG001
    as_json: bool,
) -> None:
    """Take the last restore back: data and metafiles are as they were before it.

    A second undo takes the first one back. With RECORD, one of those that --list
    shows, that restore and everything after it is taken back.

    The records of the last ten restores and undos are kept. The data that they
    replaced is in the DVC cache, until `dvc gc` deletes it.
    """
    from mlflow_dvc_plugin.restoring import list_undo_records, undo

    if show_list:
        records = list_undo_records()
        if as_json:
            print_json([_to_row(record) for record in records])
        else:
            if not records:
                print_line("There is nothing to undo: no restore was done in this project.")
            for each in records:
                action = "undo of" if each.is_undo else "restore of"
                files = format_count(len(each.files), "file")
                print_line(f"{each.record_id}  {action} {each.run_id[:8]}: {files}")
        return
    with ProgressBar("Reading the project") as progress:
        result = undo(record, dry_run=dry_run, force=force, progress=progress)
    report(result, as_json=as_json)


def _to_row(record: UndoRecord) -> dict[str, Any]:
    return {
        "undo": record.record_id,
        "run_id": record.run_id,
        "undoes": record.is_undo,
        "files": len(record.files),
        "metafiles": sorted(record.metafiles),
        "outs": list(record.outs),
    }
