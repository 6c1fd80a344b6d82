"""``mlflow-dvc report [RUN…] -o FILE``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar


@click.command("report")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--output", "-o", "path", metavar="FILE", required=True, help="Write to FILE.")
@click.option("--metric", metavar="NAME", help="Compare the runs by this metric.")
@click.option("--minimize", is_flag=True, help="The lowest value of the metric is the best.")
@output.experiment_option
@output.common_options
def command(
    runs: Sequence[str],
    *,
    path: str,
    metric: str | None,
    minimize: bool,
    experiments: Sequence[str],
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Write the data side of runs as one HTML file to look at.

    RUN is a run id, a unique prefix of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID. One run gets its outs,
    what changed, its lineage, and whether it can be restored. Several runs, or
    those of an experiment, get their data over time.

    The file needs no network and no script. The same runs give the same bytes.
    """
    from mlflow_dvc_plugin.reporting.page.data_states import Metric
    from mlflow_dvc_plugin.reporting.page.html import render
    from mlflow_dvc_plugin.reporting.page.reader import read_report

    if runs and experiments:
        raise click.UsageError("Name runs or --experiment, not both.")
    if minimize and not metric:
        raise click.UsageError("--minimize needs --metric.")
    chosen = Metric(metric, minimize) if metric else None
    with ProgressBar() as progress:
        report, found = read_report(
            runs,
            experiments=experiments,
            metric=chosen,
            tracking_uri=tracking_uri,
            progress=progress,
        )
    recorded = found.recorded
    text = render(report)
    output.write_file(path, text.encode())
    if as_json:
        output.print_json(found.graph.to_dict())
    count, size = output.format_count(len(recorded), "run"), output.format_size(len(text.encode()))
    output.print_note(f"Wrote {path}: {count}, {size}.")
    if metric and all(metric not in each.run.metrics for each in recorded):
        output.print_note(output.explain_missing_metrics([metric], [])[0])
