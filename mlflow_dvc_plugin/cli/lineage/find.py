"""``mlflow-dvc find``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.cli.tables import Column, draw_table
from mlflow_dvc_plugin.errors import join_some
from mlflow_dvc_plugin.lineage.search.find import Query, search_by_data
from mlflow_dvc_plugin.lineage.search.results import FoundRun, SearchResult

_SHOWN = 3
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


@click.command("find")
@click.option("--same-as", metavar="RUN", help="Runs on the same data as RUN.")
@click.option("--data-hash", metavar="HASH", help="Runs on the data state with this fingerprint.")
@click.option(
    "--path",
    metavar="PATH",
    callback=output.to_project_path,
    help="Runs that used or made the output at PATH.",
)
@click.option(
    "--hash",
    metavar="HASH",
    help="Only this version of it; without --path, runs that used or made anything with this "
    "hash, also a file in a tracked folder.",
)
@output.experiment_option
@click.option("--metric", "metrics", metavar="NAME", multiple=True, help="Show this metric too.")
@output.common_options
def command(as_json: bool, **options: Any) -> None:
    """Find runs by their data, the newest first.

    Without options: the runs on the data that is in the workspace now, added to
    DVC or not. A run in a DVC stage used the inputs of the stage; any other run used
    all outputs. Outputs that runs made are known after `mlflow-dvc link`.
    """
    query = Query(**options)
    criteria = (query.same_as, query.data_hash, query.path or query.hash)
    if sum(value is not None for value in criteria) > 1:
        raise click.UsageError(
            "Use only one of --same-as, --data-hash, and --path with or without --hash."
        )
    with ProgressBar() as progress:
        result = search_by_data(query, progress)
    output.print_result(
        [run.to_dict() for run in result.runs],
        as_json,
        lambda: _draw(result, query.metrics),
        [*explain_limits(result), *_explain_absence(result, query)],
    )


def explain_limits(result: SearchResult) -> list[str]:
    """What a search could not read."""
    remarks = []
    if result.unread_runs:
        others = output.format_count(result.unread_runs, "other run")
        remarks.append(f"{others} may match too: the recorded state cannot be read.")
    for paths, verb in (
        (result.unread_folders, "The files in {} were not searched"),
        (result.unverified, "The hash of {} was taken from the metafile"),
    ):
        by_reason: dict[str, list[str]] = {}
        for path, reason in paths.items():
            by_reason.setdefault(reason, []).append(path)
        for reason, some in by_reason.items():
            remarks.append(f"{verb.format(join_some(some, 1))}: {reason}.")
    modified = [run.run_id for run in result.runs if run.modified]
    if modified:
        remarks.append(
            "Runs that started when this data was modified, and may have read something else: "
            f"{join_some(modified, _SHOWN)}."
        )
    return remarks


def _explain_absence(result: SearchResult, query: Query) -> list[str]:
    """Why there may be no runs, or no values of a metric."""
    if result.runs:
        found = [name for run in result.runs for name in run.metrics]
        return output.explain_missing_metrics(query.metrics, found)
    remarks = output.explain_missing_path(query.path) if query.path else []
    for value, pattern in ((query.hash, _HASH), (query.data_hash, _FINGERPRINT)):
        if value and not pattern.fullmatch(value):
            remarks.append(f"{value} is not a whole hash, which has 32 digits from 0 to f.")
    return remarks


def _draw(result: SearchResult, metrics: Sequence[str]) -> None:
    if not result.runs:
        limits = result.unread_runs or result.unread_folders or result.unverified
        output.print_line(f"No run {'is known to be' if limits else 'is'} on this data.")
        return
    draw_runs(result.runs, metrics)


def draw_runs(runs: Sequence[FoundRun], metrics: Sequence[str] = ()) -> None:
    """Print runs with the paths by which they were found."""
    columns = [
        Column("run", lambda run: run.run_id),
        Column("name", lambda run: output.shorten_name(run.run_name)),
        Column("started", lambda run: output.format_time(run.start_time)),
        *(Column(name, partial(_show_metric, name), right=True) for name in metrics),
        Column("role", lambda run: [_show_role(run, path) for path in run.paths[:_SHOWN]]),
        Column("path", _show_paths),
        Column("hash", lambda run: [run.hashes[p] for p in run.paths[:_SHOWN]], shrinks=True),
    ]
    draw_table(columns, runs)
    output.print_line(f"{output.format_count(len(runs), 'run')}.")


def _show_metric(name: str, run: FoundRun) -> str:
    return output.format_number(run.metrics.get(name))


def _show_role(run: FoundRun, path: str) -> str:
    return f"{run.roles[path]}{', modified' if path in run.modified else ''}"


def _show_paths(run: FoundRun) -> list[str]:
    more = len(run.paths) - _SHOWN
    return [*run.paths[:_SHOWN], *([f"… {more} more"] if more > 0 else [])]
