"""``mlflow-dvc check RUN… | --experiment NAME``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from mlflow_dvc_plugin.cli import output, tables
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.lineage.retention.check import CheckedRun, check

_WORDS = {
    True: ("can be restored", "green"),
    False: ("cannot be restored", "red"),
    None: ("cannot be known", "yellow"),
}


@click.command("check")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@output.experiment_option
@output.tracking_uri_option
@output.json_option
def command(
    runs: tuple[str, ...],
    experiments: tuple[str, ...],
    tracking_uri: str | None,
    as_json: bool,
) -> int:
    """Can runs be restored? Is their data in the cache, in the remote, or nowhere?

    Folders count by their files. What is in the cache is judged by its bytes;
    what is in the remote, by its name there, as DVC does.

    Exits with 1 if a run cannot be restored, or if that cannot be known.
    """
    if bool(runs) == bool(experiments):
        raise click.UsageError("Name runs, or an experiment with --experiment.")
    with Bar() as progress:
        found = list(
            check(runs, experiments=experiments, tracking_uri=tracking_uri, progress=progress)
        )
    with output.until_closed():
        if as_json:
            output.print_json_list(run.to_dict() for run in found)
        else:
            _draw(found)
    return 0 if all(run.verdict.restorable for run in found) else 1


def _draw(runs: Sequence[CheckedRun]) -> None:
    console = tables.console()
    for run in runs:
        words, style = _WORDS[run.verdict.restorable]
        reason = f": {run.verdict.reason}" if run.verdict.reason else ""
        text = f"{run.run_id}  {output.short(run.run_name)}  {words}{reason}"
        if run.verdict.restorable and run.modified:
            text += f", but for what was modified when it ran: {', '.join(run.modified)}"
        console.print(output.printable(text), style=style, markup=False)
    counts = Counter(run.verdict.restorable for run in runs)
    for restorable, (words, style) in _WORDS.items():
        if counts[restorable]:
            console.print(f"{output.count(counts[restorable], 'run')} {words}.", style=style)
    if not runs:
        console.print("There are no runs.")
