"""``mlflow-dvc undo``."""

from __future__ import annotations

from typing import Any

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.cli.restoring.restore import draw
from mlflow_dvc_plugin.restoring import undo, undoable
from mlflow_dvc_plugin.restoring.undo.journal import Journal


@click.command("undo")
@click.argument("record", required=False)
@click.option("--list", "listed", is_flag=True, help="Show the records that can be taken back.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--force", is_flag=True, help="Save unsaved content that is in the way, and go on.")
@output.tracking_uri_option
@output.json_option
def command(  # noqa: PLR0917 - click passes them by name
    record: str | None,
    listed: bool,
    dry_run: bool,
    force: bool,
    tracking_uri: str | None,  # noqa: ARG001
    as_json: bool,
) -> None:
    """Take the last restore back: data and metafiles are as they were before it.

    A second undo takes the first one back. RECORD, one of those that --list
    shows, goes back further: to how everything was before that restore.

    The records of the last ten restores and undos are kept. What they replaced
    is in the DVC cache: `dvc gc` deletes what nothing else refers to.
    """
    if listed:
        records = undoable()
        if as_json:
            output.print_json([_row(each) for each in records])
        else:
            _draw(records)
        return
    with Bar("Looking at the project") as progress:
        result = undo(record, dry_run=dry_run, force=force, progress=progress)
    if as_json:
        output.print_json(result.to_dict())
    else:
        draw(result)


def _row(record: Journal) -> dict[str, Any]:
    return {
        "undo": record.journal_id,
        "run_id": record.run_id,
        "undoes": record.undoes,
        "files": len(record.files),
        "metafiles": sorted(record.metafiles),
        "outs": list(record.outs),
    }


def _draw(records: list[Journal]) -> None:
    if not records:
        output.say("There is nothing to undo: no restore was done in this project.")
    for each in records:
        what = "undo of" if each.undoes else "restore of"
        files = output.count(len(each.files), "file")
        output.say(f"{each.journal_id}  {what} {each.run_id[:8]}: {files}")
