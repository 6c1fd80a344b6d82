"""``mlflow-dvc find``."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from mlflow_dvc_plugin.cli import output, tables
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.search.find import find
from mlflow_dvc_plugin.lineage.search.results import Findings, FoundRun

_SHOWN_PATHS = 3
_SHOWN_RUNS = 3
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


@click.command("find")
@click.option("--same-as", metavar="RUN", help="Runs on the same data as RUN.")
@click.option("--data-hash", metavar="HASH", help="Runs on the data state with this fingerprint.")
@click.option("--path", metavar="PATH", help="Runs that used or made the output at PATH.")
@click.option("--hash", "value", metavar="HASH", help="Only this version of it; without --path, "
              "of anything, files inside tracked folders too.")  # fmt: skip
@output.experiment_option
@click.option("--metric", "metrics", metavar="NAME", multiple=True, help="Show a metric too.")
@output.tracking_uri_option
@output.json_option
def command(  # noqa: PLR0917 - click passes them by name
    same_as: str | None,
    data_hash: str | None,
    path: str | None,
    value: str | None,
    experiments: tuple[str, ...],
    metrics: tuple[str, ...],
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Runs by their data, the newest first.

    Without options: the runs on the data that the workspace has now. A run
    inside a DVC stage used the stage's inputs, any other run all outputs;
    `mlflow-dvc link` adds what runs made.
    """
    ways = [same_as, data_hash, path or value]
    if sum(way is not None for way in ways) > 1:
        raise click.UsageError(
            "Choose one of --same-as, --data-hash, and --path with or without --hash."
        )
    path = None if path is None else output.in_project(path)
    with Bar() as progress:
        found = find(
            same_as=same_as,
            data_hash=data_hash,
            path=path,
            value=value,
            experiments=experiments,
            metrics=metrics,
            tracking_uri=tracking_uri,
            progress=progress,
        )
    warn(found)
    if not any(ways):
        output.note_changed("these are the runs on what its metafiles say.")
    if not found.runs and path:
        output.note_near(path)
    for asked, whole in ((value, _HASH), (data_hash, _FINGERPRINT)):
        if asked and not found.runs and not whole.fullmatch(asked):
            output.note(f"{asked} is no whole hash: that has 32 digits from 0 to f.")
    if as_json:
        output.print_json_list(run.to_dict() for run in found.runs)
    else:
        _draw(found.runs, metrics)
        if found.runs:
            output.note_metrics(metrics, [name for run in found.runs for name in run.metrics])


def warn(found: Findings) -> None:
    """Say what could not be known."""
    if found.unread:
        output.note(
            f"{output.count(found.unread, 'run')} may belong here too: what "
            f"{'it' if found.unread == 1 else 'they'} recorded cannot be read."
        )
    changed = [run for run in found.runs if run.modified]
    for run in changed[:_SHOWN_RUNS]:
        paths = ", ".join(run.modified[:_SHOWN_PATHS])
        more = ", …" if len(run.modified) > _SHOWN_PATHS else ""
        output.note(
            f"Run {run.run_id} may have read something else at {paths}{more}: the workspace was "
            "modified there."
        )
    if more_runs := len(changed[_SHOWN_RUNS:]):
        output.note(f"So did {output.count(more_runs, 'more run')}: --json names them.")
    by_reason: dict[str, list[str]] = {}
    for folder, reason in found.unlisted.items():
        by_reason.setdefault(reason, []).append(folder)
    for reason, folders in by_reason.items():
        more = f" and {len(folders) - 1:,} more" if len(folders) > 1 else ""
        output.note(f"Not looked into {folders[0]}{more}: {reason}.")


def _draw(runs: Sequence[FoundRun], metrics: Sequence[str]) -> None:
    console = tables.console()
    if not runs:
        console.print("No run is on this data.")
        return
    columns = [
        *map(tables.Column, ("run", "name", "started")),
        *(tables.Column(output.printable(name), right=True) for name in metrics),
        *map(tables.Column, ("role", "path")),
        tables.Column("hash", shrinks=True),
    ]
    rows: list[list[tables.Cell]] = []
    for run in runs:
        shown = run.paths[:_SHOWN_PATHS]
        rest = [f"… {len(run.paths) - len(shown)} more"] if len(run.paths) > len(shown) else []
        rows.append(
            [
                run.run_id,
                output.short(run.run_name),
                output.moment(run.start_time),
                *(output.number(run.metrics.get(name)) for name in metrics),
                [_role(run, path) for path in shown],
                [*map(output.printable, shown), *rest],
                [output.printable(run.hashes[path]) for path in shown],
            ]
        )
    tables.draw(console, columns, rows)
    console.print(f"{output.count(len(runs), 'run')}.")


def _role(run: FoundRun, path: str) -> str:
    return f"{run.roles[path]}{', modified' if path in run.modified else ''}"
