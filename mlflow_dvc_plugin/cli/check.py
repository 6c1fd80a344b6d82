"""``mlflow-dvc check RUN… | --experiment NAME``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.lineage.check import CheckedRun, check

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
    counts: Counter[bool | None] = Counter()
    with output.Bar() as progress:
        found = list(
            check(runs, experiments=experiments, tracking_uri=tracking_uri, progress=progress)
        )
    counted = _counted(found, counts)
    if as_json:
        output.print_json_list(run.to_dict() for run in counted)
    else:
        _draw(counted)
        console = output.console()
        for restorable, (words, style) in _WORDS.items():
            if counts[restorable]:
                text = f"{output.count(counts[restorable], 'run')} {words}."
                console.print(text, style=style)
        if not found:
            console.print("There are no runs.")
    return 0 if counts[True] == len(found) else 1


def _counted(runs: Iterable[CheckedRun], counts: Counter[bool | None]) -> Iterator[CheckedRun]:
    for run in runs:
        counts[run.verdict.restorable] += 1
        yield run


def _draw(runs: Iterable[CheckedRun]) -> None:
    console = output.console()
    for run in runs:
        words, style = _WORDS[run.verdict.restorable]
        reason = f": {run.verdict.reason}" if run.verdict.reason else ""
        text = f"{run.run_id}  {run.run_name}  {words}{reason}"
        console.print(output.printable(text), style=style, markup=False)
