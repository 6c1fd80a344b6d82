"""``mlflow-dvc diff A [B]``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from mlflow_dvc_plugin.cli import markdown
from mlflow_dvc_plugin.cli.output import common_options, print_line, print_result
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from mlflow_dvc_plugin.lineage.diff import Diff, Item
    from mlflow_dvc_plugin.tracking import Run


@click.command("diff")
@click.argument("a")
@click.argument("b", required=False)
@click.option("--files", is_flag=True, help="Compare the files in folders too.")
@markdown.markdown_option
@common_options
def command(
    a: str,
    b: str | None,
    *,
    files: bool,
    as_markdown: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Compare the data of A with that of B, or with the workspace.

    A and B are run ids, unique prefixes of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS, models:/ID, or Git revisions such as
    main or HEAD~1. Without B, A is compared with the data that is in the workspace
    now, added to DVC or not.

    --files reads the listings of folders from the cache or the remote. It downloads
    no data.
    """
    from mlflow_dvc_plugin.lineage.diff import diff
    from mlflow_dvc_plugin.lineage.revisions import find_run_or_commit
    from mlflow_dvc_plugin.tracking import Run

    markdown.check_format(as_json=as_json, as_markdown=as_markdown)
    with ProgressBar("Comparing the data") as progress:
        sides = [find_run_or_commit(text, tracking_uri) for text in (a, b) if text is not None]
        found = diff(*sides, files=files, tracking_uri=tracking_uri, progress=progress)
    document = found.to_dict(files)
    runs = [side for side in sides if isinstance(side, Run)]
    if any(run.model for run in runs):
        document["runs"] = [
            {"run_id": run.run_id, "model": run.model and run.model.to_dict()} for run in runs
        ]
    draw = partial(_draw_markdown, a=a, b=b) if as_markdown else partial(_draw, runs=runs)
    print_result(document, as_json, lambda: draw(found))


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
    print_line(_summarize(found))


def _summarize(found: Diff) -> str:
    counts = {"added": found.added, "removed": found.removed, "modified": found.modified}
    summary = ", ".join(f"{len(items)} {name}" for name, items in counts.items())
    if found.unknown:
        summary += f", {len(found.unknown)} unknown"
    if found.items or found.unknown:
        return f"{summary}."
    if found.unverified:
        return "The data is the same, as far as it was compared."
    return "The data is the same."


def _draw_markdown(found: Diff, a: str, b: str | None) -> None:
    sides = f"{markdown.to_code(a)} → {markdown.to_code(b) if b else 'workspace'}"
    remarks = [f"{path} cannot be compared: {reason}" for path, reason in found.unknown.items()]
    remarks += [
        f"{path} was compared by its metafile only: {reason}"
        for path, reason in found.unverified.items()
    ]
    markdown.draw_markdown(
        "diff",
        f"Data {sides}: {_summarize(found)}",
        ("", "path", "before", "after"),
        _list_rows(found),
        remarks,
    )


def _list_rows(found: Diff) -> Iterator[list[str]]:
    for sign, _, item in _list_items(found):
        yield [sign, *(markdown.to_code(text or "") for text in (item.path, item.old, item.new))]
        if item.files and [file.path for file in item.files.items] != [item.path]:
            yield from _list_rows(item.files)


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
