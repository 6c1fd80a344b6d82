"""``mlflow-dvc ls RUN [PATH]``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from mlflow_dvc_plugin.cli import tables
from mlflow_dvc_plugin.cli.output import (
    common_options,
    format_size,
    origin_options,
    print_line,
    print_result,
)
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.cli.restoring.restore import to_run_paths

_Row = tuple[str, dict[str, Any]]


@click.command("ls")
@click.argument("run")
@click.argument("path", default=".")
@origin_options
@common_options
def command(
    run: str,
    path: str,
    *,
    url: str | None,
    config: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """List the data of RUN without restoring it.

    RUN is a run id, a unique prefix of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID. Without PATH, tracked
    folders are listed as one item; with PATH, the files in it.
    """
    from mlflow_dvc_plugin.run_files import filesystem

    with ProgressBar() as progress:
        (inside,) = to_run_paths((path,), elsewhere=bool(url or config))
        files = filesystem(run, url, config=config, tracking_uri=tracking_uri)
        progress.begin("Reading listings and sizes", 0)
        found = list(_list(files, "" if inside == "." else inside))
    document = [
        {
            "path": info["name"],
            "size": info["size"],
            "hash": info["hash"],
            "isdir": info["type"] == "directory",
        }
        for info in found
    ]
    print_result(document, as_json, lambda: _draw(document))


def _list(files: Any, path: str) -> Iterator[dict[str, Any]]:
    """List the files and tracked folders at a path; only a folder that is named is opened."""
    for info in files.ls(path):
        if info["type"] == "directory" and info["hash"] is None:
            yield from _list(files, info["name"])
        else:
            yield info


def _draw(items: list[dict[str, Any]]) -> None:
    if not items:
        print_line("The run has no data that DVC caches.")
        return
    rows = [(item["path"] + ("/" if item["isdir"] else ""), item) for item in items]
    columns = [
        tables.Column("path", lambda row: row[0]),
        tables.Column(
            "size", lambda row: format_size(row[1]["size"]) if row[1] else "", right=True
        ),
        tables.Column("hash", lambda row: row[1].get("hash") or "", shrinks=True),
    ]
    tables.draw_table(columns, rows if tables.terminal_width() is None else _to_tree(rows))


def _to_tree(rows: Iterable[_Row], above: str = "") -> Iterator[_Row]:
    """Arrange rows as a tree: folders get rows of their own, and names their place in it."""
    groups: dict[str, list[_Row]] = {}
    for path, item in rows:
        name, slash, rest = path.partition("/")
        groups.setdefault(name + slash, []).append((rest, item))
    for number, (name, inside) in enumerate(groups.items(), 1):
        branch, below = ("└─ ", "   ") if number == len(groups) else ("├─ ", "│  ")
        rest, item = inside[0]
        yield above + branch + name, {} if rest else item
        if rest:
            yield from _to_tree(inside, above + below)
