"""``mlflow-dvc rerun RUN``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from mlflow_dvc_plugin.cli import PATIENCE, output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.cli.tables import Cell, Column, draw_table
from mlflow_dvc_plugin.errors import MlflowDvcError, RerunError

if TYPE_CHECKING:
    from mlflow_dvc_plugin.dvc.stages import StageRecord
    from mlflow_dvc_plugin.rerunning.environment.comparison import PackageDifference
    from mlflow_dvc_plugin.rerunning.plan import Plan
    from mlflow_dvc_plugin.rerunning.result import Rerun
    from mlflow_dvc_plugin.rerunning.verdict import Comparison, Tolerance

_COULD_NOT_RUN = 2
_SHOWN_PACKAGES = 20
_COLOURS = {"identical": "green", "within tolerance": "green", "different": "red"}


class _RerunFailedError(click.ClickException):
    """It could not run; 1 means that the run was not reproduced."""

    exit_code = _COULD_NOT_RUN


@click.command("rerun")
@click.argument("run")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND]...")
@click.option("--worktree", metavar="DIR", help="Make the Git worktree in DIR.")
@click.option("--keep", is_flag=True, help="Do not remove the worktree at the end.")
@click.option(
    "--tolerance",
    "tolerances",
    metavar="[NAME=]NUMBER",
    multiple=True,
    help="How much numbers may differ, in proportion to the larger one; with NAME, those of a "
    "metric or an output. Can be used several times.  [default: 1e-6]",
)
@click.option(
    "--env",
    "with_environment",
    is_flag=True,
    help="Run in a new environment with the packages that are recorded for RUN.",
)
@click.option("--with-upstream", is_flag=True, help="Run the stages before that of RUN, too.")
@click.option("--record", is_flag=True, help="Tag RUN with the verdict: dvc.reproduced.")
@click.option("--yes", is_flag=True, help="Do not ask before the commands run.")
@output.common_options
def command(
    *,
    run: str,
    words: tuple[str, ...],
    worktree: str | None,
    keep: bool,
    tolerances: tuple[str, ...],
    with_environment: bool,
    with_upstream: bool,
    record: bool,
    yes: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> int:
    """Run what made RUN again, and compare what comes out.

    Its DVC stage, or outside a stage its recorded command, runs in a new Git worktree, on
    the code of the run's commit, with what was not committed, and on its data. The project
    does not change. The new run is in the same experiment, with the tag dvc.rerun_of. A
    COMMAND after -- runs instead of the recorded one.

    Then inputs and outputs are compared by hash, metrics by value. Exits with 0 if the
    run was reproduced, with 1 if not, and with 2 if it could not run.

    Commands and code come from the run's tags and from the commit that they name: they
    are shown, and you are asked. Where nobody can be asked, --yes is needed.
    """
    from mlflow_dvc_plugin.rerunning.plan import plan_rerun
    from mlflow_dvc_plugin.rerunning.rerun import rerun

    if not yes and (as_json or not sys.stdin.isatty()):
        raise click.UsageError("rerun runs commands: it needs --yes where nobody can be asked.")
    tolerance = _parse_tolerances(tolerances)
    try:
        with ProgressBar():
            plan = plan_rerun(run, tracking_uri, words, with_environment, with_upstream)
        _draw_plan(plan)
        if not yes and not click.confirm("Run this?", err=True):
            raise RerunError("Nothing was run.")
        environ = {k: v for k, v in os.environ.items() if PATIENCE.get(k) != v}
        with ProgressBar("Restoring") as progress:
            result = rerun(
                plan,
                environ=environ,
                worktree=worktree,
                keep=keep,
                tolerance=tolerance,
                record=record,
                progress=progress,
            )
    except MlflowDvcError as err:
        raise _RerunFailedError(output.to_printable(str(err))) from err
    output.print_result(result.to_dict(), as_json, lambda: _draw(result), result.remarks)
    return 0 if result.reproduced else 1


def _parse_tolerances(texts: Sequence[str]) -> Tolerance:
    from mlflow_dvc_plugin.rerunning.verdict import DEFAULT_TOLERANCE, Tolerance

    default, by_name = DEFAULT_TOLERANCE, {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not value >= 0:
            raise click.BadParameter(
                f"{text!r} is not a number, 0 or larger, or NAME=NUMBER.", param_hint="--tolerance"
            )
        if name:
            by_name[name] = value
        else:
            default = value
    return Tolerance(default, by_name)


def _draw_plan(plan: Plan) -> None:
    """Show what will run, on stderr."""
    stage = f", stage {plan.stage}" if plan.stage else ""
    stages = [*plan.upstream.values(), plan.record]
    lines = [
        f"Run {plan.run.run_id}{stage}, at commit {plan.commit[:12]}: {plan.subject}",
        f"  by {plan.author}, on {', '.join(plan.branches) or 'no branch of this repository'}",
        *(line for record in stages for line in _show_commands(record)),
    ]
    if plan.installation is not None:
        lines.append(f"  in a new environment with {plan.installation}")
    if plan.diff:
        lines.append("with code that was not committed:")
        text = plan.diff.decode("utf-8", "replace")
        lines += [f"  {line}" for line in text.splitlines()]
    for line in lines:
        click.echo(output.to_printable(line), err=True)


def _show_commands(record: StageRecord) -> Iterator[str]:
    for command in record.commands:
        yield from (f"  $ {line}" for line in command.splitlines())
    if record.folder != ".":
        yield f"  in {record.folder}"


def _draw(result: Rerun) -> None:
    sections = (
        ("input", result.inputs),
        ("upstream", result.upstream),
        ("output", result.outputs),
        ("metric", result.metrics),
    )
    rows = [(kind, each) for kind, comparisons in sections for each in comparisons]
    draw_table(
        [
            Column("", lambda row: row[0]),
            Column("name", lambda row: row[1].name),
            Column("run", lambda row: _show_value(row[1].old), shrinks=True),
            Column("rerun", lambda row: _show_value(row[1].new), shrinks=True),
            Column("", lambda row: _show_verdict(row[1])),
        ],
        rows,
    )
    _draw_packages(result.packages or [])
    output.write()
    what = "was reproduced" if result.reproduced else "was not reproduced"
    output.print_line(
        f"Run {result.run_id} {what}: {result.verdict}. Run {result.rerun} repeated it.",
        _COLOURS[result.verdict],
    )
    if result.reasons:
        output.print_line("What may have made the difference:")
    for reason in result.reasons:
        output.print_line(f"- {reason}")
    if result.folder:
        output.print_line(
            f"The worktree {result.folder} was kept. To remove it: git worktree remove --force "
            f"{result.folder}"
        )


def _draw_packages(packages: Sequence[PackageDifference]) -> None:
    if not packages:
        return
    output.write()
    columns = [
        Column("package", lambda each: each.name),
        Column("run", lambda each: each.old),
        Column("rerun", lambda each: each.new or "not installed"),
    ]
    draw_table(columns, packages[:_SHOWN_PACKAGES])
    if len(packages) > _SHOWN_PACKAGES:
        more = output.format_count(len(packages) - _SHOWN_PACKAGES, "package")
        output.print_line(f"… and {more} more, which --json lists", dim=True)


def _show_value(value: str | float | None) -> str:
    return value if isinstance(value, str) else output.format_number(value)


def _show_verdict(item: Comparison) -> Cell:
    if item.verdict is None:
        return Cell("not recorded", dim=True)
    text: str = item.verdict
    difference = item.difference
    if difference is not None and difference.count:
        largest = difference.largest
        by = f"by up to {largest:.3g}" if largest is not None else "not in numbers"
        if isinstance(item.old, str):
            text += f": {output.format_count(difference.count, 'value')}, {by}"
        else:
            text += f" by {largest:.3g}"
    return Cell(text, _COLOURS[item.verdict])
