"""``mlflow-dvc check RUN… | --experiment NAME | --model NAME``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mlflow_dvc_plugin.cli import markdown, output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.errors import join_some

if TYPE_CHECKING:
    from mlflow_dvc_plugin.lineage.retention.check import CheckedRun
    from mlflow_dvc_plugin.lineage.retention.requirements import Requirement

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
@output.experiment_option
@click.option("--model", metavar="NAME", help="The runs that made the versions of this model.")
@click.option("--alias", metavar="ALIAS", help="Only the version of the model with this alias.")
@click.option(
    "--require",
    "required",
    metavar="LIST",
    callback=lambda ctx, param, text: _parse_requirements(text),  # noqa: ARG005
    help="Also require some of clean, pushed, pinned, separated by commas.",
)
@markdown.markdown_option
@output.common_options
def command(runs: tuple[str, ...], as_markdown: bool, as_json: bool, **options: Any) -> int:
    """Check whether the data of runs can be restored.

    Data can be restored if the cache or the remote has it, or the place that it was
    imported from.

    A folder is checked file by file. The cache is judged by the bytes of its
    objects, the remote by the names of its objects, as DVC does. A run that started
    on modified data which was not saved cannot be restored.

    RUN can also be a Git revision, such as HEAD: what its metafiles record is checked.

    --require asks for more: `clean`, that the run's data was verified or saved when it
    started; `pushed`, that the remote has all of it; `pinned`, that `pin` keeps it.

    Exits with 1 unless every run can be restored and meets what is required. So
    `check --model NAME --alias champion` can stop a deployment whose data is lost.
    """
    from mlflow_dvc_plugin.lineage.retention.check import check

    markdown.check_format(as_json=as_json, as_markdown=as_markdown)
    if sum(map(bool, (runs, options["experiments"], options["model"]))) != 1:
        raise click.UsageError(
            "Name runs, or an experiment with --experiment, or a model with --model."
        )
    if options["alias"] and not options["model"]:
        raise click.UsageError("--alias needs --model.")
    with ProgressBar() as progress:
        found = list(check(runs, progress=progress, **options))
    with output.until_closed():
        draw = _draw_markdown if as_markdown else _draw
        output.print_result([run.to_dict() for run in found], as_json, lambda: draw(found))
    return 0 if all(run.passes for run in found) else 1


def _parse_requirements(text: str | None) -> tuple[Requirement, ...]:
    if not text:
        return ()
    from mlflow_dvc_plugin.lineage.retention.requirements import REQUIREMENTS

    names = {name.strip() for name in text.split(",")}
    if unknown := sorted(names.difference(REQUIREMENTS)):
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(REQUIREMENTS)}.")
    return tuple(each for each in REQUIREMENTS if each in names)


def _draw(runs: Sequence[CheckedRun]) -> None:
    for each in runs:
        words, colour = _WORDS[each.restorable]
        text = f"{each.run.run_id}  {output.shorten_name(each.run.name)}  {words}".lstrip()
        if each.run.model is not None:
            text = f"{each.run.model}  {text}"
        if each.reason:
            text = f"{text}: {each.reason}"
        elif remarks := _find_remarks(each):
            text = f"{text} ({'; '.join(remarks)})"
        output.print_line(text, colour)
        for name, reason in each.unmet.items():
            output.print_line(f"  not {name}: {reason}", "red")
    _draw_counts(runs)


def _find_noun(runs: Sequence[CheckedRun]) -> str:
    if all(each.run.model for each in runs):
        return "model version"
    return "run" if any(each.run.run_id for each in runs) else "revision"


def _draw_counts(runs: Sequence[CheckedRun]) -> None:
    counts = Counter(each.restorable for each in runs)
    noun = _find_noun(runs)
    for restorable, (words, colour) in _WORDS.items():
        if counts[restorable]:
            output.print_line(f"{output.format_count(counts[restorable], noun)} {words}.", colour)


def _draw_markdown(runs: Sequence[CheckedRun]) -> None:
    rows = [
        [
            "✅" if each.passes else "❌",
            markdown.to_code(str(each.run.model or each.run.run_id or each.run.name)),
            _WORDS[each.restorable][0],
            markdown.escape(
                "; ".join(
                    [
                        *([each.reason] if each.reason else _find_remarks(each)),
                        *(f"not {name}: {reason}" for name, reason in each.unmet.items()),
                    ]
                )
            ),
        ]
        for each in runs
    ]
    noun = _find_noun(runs)
    passed = sum(each.passes for each in runs)
    heading = f"Data of {output.format_count(len(runs), noun)}: {passed} passed"
    markdown.draw_markdown("check", heading, ("", noun, "restore", "remarks"), rows)


def _find_remarks(checked: CheckedRun) -> list[str]:
    """What a person should know of a run that can be restored."""
    outs = checked.outs
    unpushed = [out.path for out in outs if out.cache and out.remote is False and not out.source]
    remarks = []
    if unpushed and len(unpushed) == len(outs):
        remarks.append("only from this cache: nothing was pushed yet")
    elif unpushed:
        remarks.append(f"only from this cache: {join_some(unpushed, _SHOWN)}")
    if any(out.cache and out.remote is None for out in outs):
        remarks.append("from this cache: the remote does not tell what it has")
    status = checked.run.tags.get("dvc.status")
    if status in _STATUSES:
        remarks.append(_STATUSES[status])
    if checked.run.changed:
        shown = join_some(checked.run.changed, _SHOWN)
        remarks.append(f"it changed while the run was running: {shown}")
    return remarks
