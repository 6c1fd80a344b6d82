"""``mlflow-dvc log PATH``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mlflow_dvc_plugin.cli import markdown, output
from mlflow_dvc_plugin.cli.lineage.find import explain_limits
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.cli.tables import Cell, Column, draw_table, terminal_width

if TYPE_CHECKING:
    from mlflow_dvc_plugin.lineage.search.results import OutVersion

_WIDTH = 24


@click.command("log")
@click.argument("path", callback=output.to_project_path)
@click.option("--metric", metavar="NAME", help="Show the best value of this metric too.")
@click.option("--minimize", is_flag=True, help="The lowest value of the metric is the best.")
@output.experiment_option
@markdown.markdown_option
@output.common_options
def command(
    path: str,
    *,
    metric: str | None,
    minimize: bool,
    as_markdown: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show the versions of the output at PATH over the runs.

    The oldest version comes first.
    """
    from mlflow_dvc_plugin.lineage.search.find import search_by_data
    from mlflow_dvc_plugin.lineage.search.query import Query
    from mlflow_dvc_plugin.lineage.search.results import group_by_version

    markdown.check_format(as_json=as_json, as_markdown=as_markdown)
    if minimize and not metric:
        raise click.UsageError("--minimize needs --metric.")
    query = Query(path=path, metrics=[metric] if metric else [], **options)
    with ProgressBar() as progress:
        result = search_by_data(query, progress)
    history = group_by_version(result.runs, path, metric, minimize)
    remarks = explain_limits(result)
    if not history:
        remarks += output.explain_missing_path(path)
    elif metric and all(version.best is None for version in history):
        remarks += output.explain_missing_metrics([metric], [])
    if as_markdown:
        _draw_markdown(path, history, metric, remarks)
        return
    output.print_result(
        [version.to_dict() for version in history],
        as_json,
        lambda: _draw(history, metric, is_certain=not result.unread_runs),
        remarks,
    )


def _draw(history: Sequence[OutVersion], metric: str | None, *, is_certain: bool) -> None:
    if not history:
        output.print_line(
            f"No run {'used or made' if is_certain else 'is known to have used or made'} it."
        )
        return
    columns = [
        Column("hash", lambda version: version.hash),
        Column("first run", lambda version: output.format_time(version.first)),
        Column("last run", lambda version: output.format_time(version.last)),
        Column("runs", lambda version: f"{len(version.run_ids):,}", right=True),
    ]
    if any(version.modified for version in history):
        columns.append(Column("modified", lambda v: _show_count(v.modified), right=True))
    if any(version.changed for version in history):
        columns.append(Column("changed", lambda v: _show_count(v.changed), right=True))
    if metric:
        columns.append(Column(f"best {metric}", lambda v: output.format_number(v.best), right=True))
    if metric and terminal_width() is not None:
        scores = [v.best for v in history if v.best is not None and math.isfinite(v.best)]
        columns.append(Column("", lambda v: Cell(_draw_bar(v.best, scores), "cyan")))
    draw_table(columns, history)


def _show_count(run_ids: Sequence[str]) -> str:
    return f"{len(run_ids):,}" if run_ids else "-"


def _draw_markdown(
    path: str, history: Sequence[OutVersion], metric: str | None, remarks: Sequence[str]
) -> None:
    columns = ["hash", "first run", "last run", "runs", *([f"best {metric}"] if metric else [])]
    rows = [
        [
            markdown.to_code(version.hash),
            output.format_time(version.first),
            output.format_time(version.last),
            _show_count(version.run_ids),
            *([output.format_number(version.best)] if metric else []),
        ]
        for version in history
    ]
    versions = output.format_count(len(history), "version")
    markdown.draw_markdown(
        "log",
        f"{markdown.to_code(path)}: {versions}",
        list(map(markdown.escape, columns)),
        rows,
        remarks,
    )


def _draw_bar(value: float | None, scores: Sequence[float]) -> str:
    """A bar from the lowest to the highest value, so that small steps are seen."""
    if value is None or value not in scores:
        return ""
    low, high = min(scores), max(scores)
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 1.0  # no overflow
    return "▇" * (1 + round(share * (_WIDTH - 1)))
