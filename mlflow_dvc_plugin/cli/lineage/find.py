"""``mlflow-dvc find``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.cli.tables import Column, draw_table
from mlflow_dvc_plugin.errors import InvalidHashError, join_some
from mlflow_dvc_plugin.progress import Progress

if TYPE_CHECKING:
    from mlflow_dvc_plugin.lineage.search.query import Query
    from mlflow_dvc_plugin.lineage.search.results import FoundRun, SearchResult

_SHOWN = 3
_IN_A_STAGE = (
    "Runs in a DVC stage are found by the inputs of their stage, and after `mlflow-dvc link` by "
    "what they made."
)
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")


class Answer(NamedTuple):
    """What was found for a file, a hash or, with neither, another choice of data."""

    question: str
    value: str | None
    result: SearchResult

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it where there may be several."""
        return {"query": self.question, "hash": self.value, "runs": _to_rows(self.result)}


@click.command("find")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--same-as", metavar="RUN", help="Runs on the same data as RUN.")
@click.option("--data-hash", metavar="HASH", help="Runs on the data state with this fingerprint.")
@click.option(
    "--path",
    metavar="PATH",
    callback=output.to_project_path,
    help="Runs that used or made the output at PATH, in any version.",
)
@click.option(
    "--hash",
    "hashes",
    metavar="HASH",
    multiple=True,
    help="Runs that used or made anything with this hash, also a file in a tracked folder. The "
    "first 6 digits are enough; - reads a list from standard input. With --path, only this version "
    "of the output.",
)
@output.experiment_option
@click.option("--metric", "metrics", metavar="NAME", multiple=True, help="Show this metric too.")
@click.option("--models", is_flag=True, help="Show the models that come from these runs too.")
@output.common_options
def command(files: tuple[str, ...], hashes: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Find runs by their data, the newest first.

    Name a FILE, or a folder, to find the runs that used or made the same content, at
    whatever path. DVC need not track it. Use --path to find the runs on any version of
    an output.

    Without FILE and options: the runs on the data that is in the workspace now, added to
    DVC or not. A run in a DVC stage used the inputs of the stage; any other run used
    all outputs. Outputs that runs made are known after `mlflow-dvc link`.

    Several files or hashes get an answer each: with --json a list of {query, hash, runs}.
    """
    from mlflow_dvc_plugin.lineage.search.models import add_models
    from mlflow_dvc_plugin.lineage.search.query import Query

    with_models = options.pop("models")
    query = Query(**options)
    values = _read_hashes(hashes)
    _check_usage(query, files, values)
    with ProgressBar() as progress:
        answers = _search(query, files, values, progress)
        if with_models:
            found = add_models([answer.result for answer in answers], query.tracking_uri)
            answers = [
                answer._replace(result=result)
                for answer, result in zip(answers, found, strict=True)
            ]
    results = [answer.result for answer in answers]
    is_list = len(files) + len(hashes) > 1 or output.STDIN in hashes
    document = [each.to_dict() for each in answers] if is_list else _to_rows(results[0])
    limits = [remark for each in results for remark in explain_limits(each)]
    absences = [remark for each in answers for remark in _explain_absence(each, query)]
    output.print_result(
        document,
        as_json,
        partial(_draw, answers, query.metrics, with_questions=is_list),
        list(dict.fromkeys([*limits, *absences])),
    )


def _read_hashes(texts: Sequence[str]) -> dict[str, str]:
    """The hashes of the option, by what the user wrote; ``-`` stands for a list on stdin."""
    from mlflow_dvc_plugin.lineage.search.hash_prefixes import parse_hash

    try:
        found = {word: parse_hash(word) for word in output.read_words(texts)}
    except InvalidHashError as err:
        raise click.BadParameter(str(err), param_hint="--hash") from err
    if texts and not found:
        raise click.BadParameter("standard input has no hash.", param_hint="--hash")
    return found


def _check_usage(query: Query, files: Sequence[str], values: Mapping[str, str]) -> None:
    contents = files or (values and query.path is None)
    criteria = (query.same_as, query.data_hash, query.path, contents)
    if sum(bool(value) for value in criteria) > 1 or (query.path and len(values) > 1):
        raise click.UsageError(
            "Use only one of FILE or --hash, --same-as, --data-hash, and --path with or without "
            "one --hash."
        )


def _search(
    query: Query, files: Sequence[str], values: Mapping[str, str], progress: Progress
) -> list[Answer]:
    from mlflow_dvc_plugin.lineage.search.content import hash_paths
    from mlflow_dvc_plugin.lineage.search.find import search_by_data
    from mlflow_dvc_plugin.lineage.search.hash_search import search_by_hashes

    if query.path is not None:
        value = next(iter(values.values()), None)
        return [Answer(query.path, value, search_by_data(replace(query, hash=value), progress))]
    if not files and not values:
        return [Answer("", query.data_hash, search_by_data(query, progress))]
    questions = {**(hash_paths(files, progress) if files else {}), **values}
    results = search_by_hashes(list(questions.values()), query, progress)
    return [Answer(text, value, results[value]) for text, value in questions.items()]


def _to_rows(result: SearchResult) -> list[dict[str, Any]]:
    return [run.to_dict() for run in result.runs]


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
    remarks += [f"{what} were not searched: {why}." for what, why in result.unsearched.items()]
    if result.one_by_one:
        runs = output.format_count(result.one_by_one, "run")
        remarks.append(
            f"{runs} had to be read one by one, because dvc.hashes does not have all of their "
            "hashes. `mlflow-dvc backfill --index` adds the tag where it is missing."
        )
    modified = [run.run_id for run in result.runs if run.modified]
    if modified:
        remarks.append(
            "Runs that started when this data was modified, and may have read something else: "
            f"{join_some(modified, _SHOWN)}."
        )
    changed = [run.run_id for run in result.runs if run.changed]
    if changed:
        remarks.append(
            "Runs during which this data changed, and which may have read something else: "
            f"{join_some(changed, _SHOWN)}."
        )
    return remarks


def _explain_absence(answer: Answer, query: Query) -> list[str]:
    """Why there may be no runs, or no values of a metric; and which hashes a prefix stands for."""
    result = answer.result
    if result.runs:
        found = [name for run in result.runs for name in run.metrics]
        remarks = output.explain_missing_metrics(query.metrics, found)
        hashes = sorted({value for run in result.runs for value in run.hashes.values()})
        if answer.value and query.data_hash is None and len(hashes) > 1:
            remarks.append(
                f"{answer.value} is the start of {len(hashes):,} hashes: "
                f"{join_some(hashes, _SHOWN)}."
            )
        return remarks
    remarks = output.explain_missing_path(query.path) if query.path else []
    if query.data_hash and not _FINGERPRINT.fullmatch(query.data_hash):
        remarks.append(
            f"{query.data_hash} is not a whole fingerprint, which has 32 digits from 0 to f."
        )
    is_content = answer.value and query.path is None and query.data_hash is None
    if is_content and answer.question != answer.value:
        remarks.append(f"The hash of {answer.question} is {answer.value}.")
    if result.listings is not None:
        remarks.append(
            f"Files in folders were looked for in {output.format_count(result.listings, 'listing')}"
            ", all that the cache and the remote have."
        )
    if is_content:
        remarks.append(_IN_A_STAGE)
    return remarks


def _draw(answers: Sequence[Answer], metrics: Sequence[str], *, with_questions: bool) -> None:
    for answer in answers:
        if with_questions:
            text = " ".join(dict.fromkeys([answer.question, str(answer.value)]))
            output.print_line(text, "cyan")
        _draw_runs(answer.result, metrics)


def _draw_runs(result: SearchResult, metrics: Sequence[str]) -> None:
    if not result.runs:
        output.print_line(f"No run {'is' if result.is_certain else 'is known to be'} on this data.")
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
    if any(run.models is not None for run in runs):
        columns.append(Column("models", lambda run: [str(model) for model in run.models]))
    draw_table(columns, runs)
    output.print_line(f"{output.format_count(len(runs), 'run')}.")


def _show_metric(name: str, run: FoundRun) -> str:
    return output.format_number(run.metrics.get(name))


def _show_role(run: FoundRun, path: str) -> str:
    words: list[str] = [run.roles[path]]
    words += ["modified"] if path in run.modified else []
    words += ["changed"] if path in run.changed else []
    return ", ".join(words)


def _show_paths(run: FoundRun) -> list[str]:
    more = len(run.paths) - _SHOWN
    return [*run.paths[:_SHOWN], *([f"… {more} more"] if more > 0 else [])]
