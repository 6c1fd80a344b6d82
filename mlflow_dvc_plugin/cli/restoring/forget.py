"""``mlflow-dvc forget``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.lineage.find import draw_runs, explain_limits
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.cli.tables import Column, draw_table
from mlflow_dvc_plugin.errors import EmptyRemoteError, LineageError, join_some

if TYPE_CHECKING:
    from mlflow_dvc_plugin.lineage.forgetting.deletion import Deletion
    from mlflow_dvc_plugin.lineage.forgetting.survey import Survey
    from mlflow_dvc_plugin.lineage.forgetting.targets import Targets
    from mlflow_dvc_plugin.progress import Progress

_SHOWN = 5
_WORD = "forget"


@click.command("forget")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--hash",
    "hashes",
    metavar="HASH",
    multiple=True,
    help="The MD5 hash of an object. Can be used several times; - reads a list from stdin.",
)
@click.option("--delete", "deletes", is_flag=True, help="Delete the objects for ever.")
@click.option("--yes", is_flag=True, help="With --delete: do not ask.")
@output.common_options
def command(
    *,
    files: tuple[str, ...],
    hashes: tuple[str, ...],
    deletes: bool,
    yes: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Show what rests on some data, and delete it for ever.

    The data is named by hashes, or by files that have it. The report shows the runs,
    models, folders, Git branches and tags that rest on it, and where it is stored.
    Nothing is changed.

    With --delete, the objects with exactly these hashes are deleted from the DVC cache
    and from all remotes, after you confirm it. The runs that rest on them get the tag
    dvc.forgotten. Files in the workspace stay. Run the command again if it was
    interrupted.
    """
    from mlflow_dvc_plugin.lineage.forgetting.deletion import delete
    from mlflow_dvc_plugin.lineage.forgetting.survey import survey

    if deletes and not yes and (as_json or output.STDIN in hashes or not sys.stdin.isatty()):
        raise click.UsageError("--delete needs --yes where nobody can be asked.")
    if not files and not hashes:
        raise click.UsageError("Name a hash with --hash, or a file.")
    if yes and not deletes:
        raise click.UsageError("--yes is for --delete.")
    with ProgressBar("Hashing") as progress:
        found = survey(_read_targets(hashes, files, progress), tracking_uri, progress)
    if not deletes:
        document = {**found.to_dict(), "deleted": []}
        output.print_result(document, as_json, lambda: _draw(found), _explain(found))
        if not as_json and found.objects:
            objects = output.format_count(len(found.objects), "object")
            output.print_line(f"Nothing was changed. With --delete: {objects} deleted for ever.")
        return
    if not as_json:
        _draw(found)
        for remark in _explain(found):
            output.print_line(remark, "yellow")
        if not yes:
            _confirm(len(found.objects))
    with ProgressBar() as progress:
        done = delete(found, tracking_uri, progress)
    document = {**found.to_dict(), "deleted": [obj.to_dict() for obj in done.objects]}
    remarks = _explain(found) if as_json else []
    output.print_result(document, as_json, lambda: _draw_deletion(done), remarks)
    if done.failed:
        failed = join_some(done.failed, _SHOWN, " ")
        raise LineageError(f"{failed} Run the same command again to go on.")


def _confirm(count: int) -> None:
    objects = output.format_count(count, "object")
    typed = click.prompt(
        f"Nothing can bring the data back. Type {_WORD} to delete {objects} for ever",
        default="",
        show_default=False,
        err=True,
    )
    if typed.strip() != _WORD:
        raise LineageError(f"Nothing was deleted, because {_WORD} was not typed.")


def _read_targets(hashes: tuple[str, ...], files: tuple[str, ...], progress: Progress) -> Targets:
    from mlflow_dvc_plugin.lineage.forgetting.targets import find_hashes, parse_targets

    values = [*output.read_words(hashes), *find_hashes(files, progress)]
    try:
        return parse_targets(values)
    except LineageError as err:
        raise click.BadParameter(str(err), param_hint="--hash") from err


def _draw(found: Survey) -> None:
    if found.objects:
        draw_table(
            [
                Column("object", lambda obj: obj.hash),
                Column("size", lambda obj: output.format_size(obj.size), right=True),
                Column("cache", lambda obj: "yes" if obj.cache else ""),
                Column("remotes", lambda obj: ", ".join(obj.remotes)),
            ],
            found.objects,
        )
    else:
        output.print_line("Neither the cache nor a remote is known to have these objects.")
    if found.runs.runs:
        output.write()
        draw_runs(found.runs.runs)
    sections = [
        ("Models of these runs", [str(model) for model in found.models]),
        (
            "Folders whose listing names them",
            [f"{f.hash}: {', '.join(f.files)}" for f in found.folders],
        ),
        ("Git branches and tags whose metafiles name them", [ref.ref for ref in found.refs]),
        ("Files in the workspace", [p for p, link in found.copies.items() if not link]),
        (
            "Links in the workspace to cached objects, which will lead nowhere",
            [path for path, link in found.copies.items() if link],
        ),
        ("Undo records that refer to them", found.undo_records),
    ]
    for heading, lines in sections:
        if lines:
            output.write()
            output.print_line(f"{heading}:")
            _draw_some(lines)
    output.write()


def _draw_some(lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN]:
        output.print_line(f"  {line}")
    if len(lines) > _SHOWN:
        output.print_line(f"  … {len(lines) - _SHOWN:,} more: --json shows them")


def _explain(found: Survey) -> list[str]:
    """What limits the report, and what a deletion would not reach."""
    remarks = []
    for remote, error in found.unknown.items():
        if isinstance(error, EmptyRemoteError):
            remarks.append(f"The remote {remote} was not searched: {error}.")
        else:
            remarks.append(f"The remote {remote} was not searched: it does not answer: {error}.")
    if not all(found.copies.values()):
        remarks.append(
            "Files in the workspace are not deleted. `dvc add` or `dvc commit` would bring their "
            "objects back."
        )
    linked = [obj.hash for obj in found.objects if obj.links]
    if linked:
        remarks.append(
            f"Other files on this machine are hard links to {join_some(linked, 1)}, and keep the "
            "content."
        )
    return [*remarks, *explain_limits(found.runs), *found.remarks]


def _draw_deletion(done: Deletion) -> None:
    count = output.format_count(len(done.objects), "object")
    runs = output.format_count(done.marked, "run")
    if done.failed:
        output.print_line(f"{runs} marked. Not everything was deleted.", "yellow")
    elif not done.objects and not done.marked:
        output.print_line("Nothing was left to delete.")
    else:
        output.print_line(
            f"Deleted {count}; no place that was searched has them any more. {runs} marked with "
            "dvc.forgotten.",
            "green",
        )
