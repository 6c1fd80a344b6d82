"""``mlflow-dvc diff A [B]``."""

from __future__ import annotations

import click

from mlflow_dvc_plugin.cli import output, tables
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.diff import Diff, Item, diff


@click.command("diff")
@click.argument("a")
@click.argument("b", required=False)
@click.option("--files", is_flag=True, help="Look inside folders, file by file.")
@output.tracking_uri_option
@output.json_option
def command(a: str, b: str | None, files: bool, tracking_uri: str | None, as_json: bool) -> None:
    """What changed in the data from run A to run B, or to the workspace.

    A and B are run ids, unique prefixes of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID. Without B, the
    workspace is taken as its metafiles say it is. --files reads folders'
    listings from the cache or the remote; it downloads no data.
    """
    with Bar("Comparing the data"):
        found = diff(a, b, files=files, tracking_uri=tracking_uri)
    if b is None:
        output.note_changed("this compares what its metafiles say.")
    if as_json:
        output.print_json(found.to_dict(files))
    else:
        _draw(found)


def _draw(found: Diff) -> None:
    console = tables.console()
    for sign, style, items in (
        ("A", "green", found.added),
        ("D", "red", found.removed),
        ("M", "yellow", found.modified),
    ):
        for item in items:
            console.print(_line(sign, item), style=style, markup=False)
            if item.files:
                _draw_files(item)
    for path, reason in found.unknown.items():
        text = f"?  {output.printable(path)}  ({output.printable(reason)})"
        console.print(text, style="dim", markup=False)
    if not found.items and not found.unknown:
        console.print("The data is the same.")
        return
    counts = (
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.modified)} modified"
    )
    unknown = f", {len(found.unknown)} unknown" if found.unknown else ""
    console.print(f"{counts}{unknown}.")


def _line(sign: str, item: Item) -> str:
    shown = " → ".join(output.printable(value) for value in (item.old, item.new) if value)
    return f"{sign}  {output.printable(item.path)}  {shown}"


def _draw_files(item: Item) -> None:
    files = item.files
    assert files is not None
    if [other.path for other in files.items] == [item.path]:
        return
    console = tables.console()
    for sign, style, items in (
        ("A", "green", files.added),
        ("D", "red", files.removed),
        ("M", "yellow", files.modified),
    ):
        for file in items:
            text = f"     {sign}  {output.printable(file.path)}"
            console.print(text, style=style, markup=False)
