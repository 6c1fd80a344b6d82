"""``mlflow-dvc check RUN… | --experiment NAME``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from mlflow_dvc_plugin.cli.output import (
    common_options,
    experiment_option,
    format_count,
    print_line,
    print_result,
    shorten_name,
    until_closed,
)
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.errors import join_some
from mlflow_dvc_plugin.lineage.retention.check import CheckedRun, check

_WORDS = {
    True: ("can be restored", "green"),
    False: ("cannot be restored", "red"),
    None: ("may or may not be restorable", "yellow"),
}
_STATUSES = {
    "unverified": "its data was not verified when it started",
    "missing": "some of its data was not in the workspace when it started",
}
_SHOWN = 3


@click.command("check")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@experiment_option
@common_options
def command(
    runs: tuple[str, ...],
    experiments: tuple[str, ...],
    tracking_uri: str | None,
    as_json: bool,
) -> int:
    """Check whether the data of runs can be restored.

    Data can be restored if the cache or the remote has it, or the place that it was
    imported from.

    A folder is checked file by file. The cache is judged by the bytes of its
    objects, the remote by the names of its objects, as DVC does. A run that started
    on modified data which was not saved cannot be restored.

    Exits with 1 unless every run can be restored.
    """
    if bool(runs) == bool(experiments):
        raise click.UsageError("Name runs, or an experiment with --experiment.")
    with ProgressBar() as progress:
        found = list(
            check(runs, experiments=experiments, tracking_uri=tracking_uri, progress=progress)
        )
    with until_closed():
        print_result([run.to_dict() for run in found], as_json, lambda: _draw(found))
    return 0 if all(run.verdict.restorable for run in found) else 1


def _draw(runs: Sequence[CheckedRun]) -> None:
    for run in runs:
        words, colour = _WORDS[run.verdict.restorable]
        text = f"{run.run_id}  {shorten_name(run.run_name)}  {words}"
        if run.verdict.reason:
            text = f"{text}: {run.verdict.reason}"
        elif remarks := _find_remarks(run):
            text = f"{text} ({'; '.join(remarks)})"
        print_line(text, colour)
    counts = Counter(run.verdict.restorable for run in runs)
    for restorable, (words, colour) in _WORDS.items():
        if counts[restorable]:
            print_line(f"{format_count(counts[restorable], 'run')} {words}.", colour)


def _find_remarks(run: CheckedRun) -> list[str]:
    """What a person should know of a run that can be restored."""
    outs = run.verdict.outs
    unpushed = [out.path for out in outs if out.cache and out.remote is False and not out.source]
    remarks = []
    if unpushed and len(unpushed) == len(outs):
        remarks.append("only from this cache: nothing was pushed yet")
    elif unpushed:
        remarks.append(f"only from this cache: {join_some(unpushed, _SHOWN)}")
    if any(out.cache and out.remote is None for out in outs):
        remarks.append("from this cache: the remote does not tell what it has")
    if run.status in _STATUSES:
        remarks.append(_STATUSES[run.status])
    return remarks
