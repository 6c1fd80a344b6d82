"""``mlflow-dvc log PATH``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import click
from rich.text import Text

from mlflow_dvc_plugin.cli import output, tables
from mlflow_dvc_plugin.cli.lineage.find import warn
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.search.history import Version, log

_WIDTH = 24


@click.command("log")
@click.argument("path")
@click.option("--metric", metavar="NAME", help="Tell the best value of this metric too.")
@click.option("--minimize", is_flag=True, help="The least value of the metric is the best.")
@output.experiment_option
@output.tracking_uri_option
@output.json_option
def command(  # noqa: PLR0917 - click passes them by name
    path: str,
    metric: str | None,
    minimize: bool,
    experiments: tuple[str, ...],
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """The versions of the output at PATH over the runs, the oldest first."""
    if minimize and not metric:
        raise click.UsageError("--minimize goes with --metric.")
    path = output.in_project(path)
    with Bar() as progress:
        found, runs = log(
            path,
            metric=metric,
            minimize=minimize,
            experiments=experiments,
            tracking_uri=tracking_uri,
            progress=progress,
        )
    warn(runs)
    if not found:
        output.note_near(path)
    if as_json:
        output.print_json([version.to_dict() for version in found])
    else:
        _draw(found, metric)
        if metric and found and all(version.best is None for version in found):
            output.note_metrics([metric], [])


def _draw(found: Sequence[Version], metric: str | None) -> None:
    console = tables.console()
    if not found:
        console.print("No run used or made it.")
        return
    columns = [
        tables.Column("hash"),
        tables.Column("first run"),
        tables.Column("last run"),
        tables.Column("runs", right=True),
    ]
    changed = any(version.modified for version in found)
    if changed:
        columns.append(tables.Column("modified", right=True))
    if metric:
        columns.append(tables.Column(f"best {output.printable(metric)}", right=True))
        if console.is_terminal:
            columns.append(tables.Column(""))
    scores = [v.best for v in found if v.best is not None and math.isfinite(v.best)]
    rows = []
    for version in found:
        row: list[tables.Cell] = [
            output.printable(version.hash),
            output.moment(version.first),
            output.moment(version.last),
            f"{len(version.run_ids):,}",
        ]
        if changed:
            row.append(f"{len(version.modified):,}" if version.modified else "-")
        if metric:
            row.append(output.number(version.best))
            if console.is_terminal:
                row.append(Text(_bar(version.best, scores), style="cyan"))
        rows.append(row)
    tables.draw(console, columns, rows)


def _bar(value: float | None, scores: Sequence[float]) -> str:
    """A bar from the least to the greatest value, so that small steps are seen."""
    if value is None or value not in scores:
        return ""
    low, high = min(scores), max(scores)
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 1.0  # no overflow
    return "▇" * (1 + round(share * (_WIDTH - 1)))
