"""``mlflow-dvc restore RUN [PATH…]``."""

from __future__ import annotations

import os

import click

from mlflow_dvc_plugin.capturing import find_project
from mlflow_dvc_plugin.cli import output
from mlflow_dvc_plugin.cli.progress_bar import Bar
from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring import RestoreResult, restore


@click.command("restore")
@click.argument("run")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--out", metavar="DIR", help="Write the data into DIR; leave the project alone.")
@click.option(
    "--worktree",
    metavar="DIR",
    help="Make a Git worktree at the run's commit: code and data together.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--force", is_flag=True, help="Save unsaved content that is in the way, and go on.")
@click.option("--remote", metavar="NAME", help="The DVC remote to fetch from.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="How many objects to fetch at once.")
@output.tracking_uri_option
@output.json_option
def command(  # noqa: PLR0917 - click passes them by name
    run: str,
    paths: tuple[str, ...],
    out: str | None,
    worktree: str | None,
    dry_run: bool,
    force: bool,
    remote: str | None,
    jobs: int | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Make the workspace hold the data that RUN was made from.

    RUN is a run id, a unique prefix of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID. PATH limits it to
    some outs, or to those in a folder.

    Everything is fetched and verified first. What is in the way and not saved
    in the DVC cache is never overwritten; --force saves it. `mlflow-dvc undo`
    takes a restore back.
    """
    with Bar() as progress:
        result = restore(
            run,
            _in_project(paths) if paths else None,
            out,
            worktree=worktree,
            dry_run=dry_run,
            force=force,
            remote=remote,
            jobs=jobs,
            tracking_uri=tracking_uri,
            progress=progress,
        )
    if as_json:
        output.print_json(result.to_dict())
    else:
        draw(result, where=out or worktree)


def _in_project(paths: tuple[str, ...]) -> list[str]:
    """Paths as typed, relative to the working directory, made relative to the project."""
    root = find_project()
    if root is None:
        raise RestoreError("This is no DVC project: go to the project that the run was made in.")
    found = []
    for path in paths:
        inside = _relative(os.path.abspath(path), root)
        if inside is None:
            # As typed it may lead through a link to the project's folder.
            folder, name = os.path.split(os.path.abspath(path))
            full = os.path.join(os.path.realpath(folder), name)
            inside = _relative(full, os.path.realpath(root))
        if inside is None:
            raise RestoreError(f"{path} is outside the project {root}.")
        found.append(inside)
    return found


def _relative(path: str, root: str) -> str | None:
    """A path relative to a folder, POSIX; None if it is not in it."""
    inside = os.path.relpath(path, root).replace(os.sep, "/")
    return None if inside == ".." or inside.startswith("../") else inside


def draw(result: RestoreResult, where: str | None = None) -> None:
    """Tell a person what was done, or would be."""
    if result.source != "undo":
        output.say(f"Run {result.run_id}, its state read from the run's {result.source}.")
    for sign, colour, paths in (
        ("A", "green", result.added),
        ("M", "yellow", result.modified),
        ("D", "red", result.deleted),
        ("M", "yellow", result.metafiles),
        ("-", None, result.left),
    ):
        for path in paths:
            output.say(f"{sign}  {path}", colour, dim=colour is None)
    if result.kept:
        output.say(f"Tracked today, not in the run, left alone: {', '.join(result.kept)}", dim=True)
    if result.differed:
        output.say(
            f"The run itself saw something else, which DVC never recorded, in: "
            f"{', '.join(result.differed)}",
            "yellow",
        )
    output.say(_summary(result, where))
    if result.undo:
        output.say("To take it back: mlflow-dvc undo")


def _summary(result: RestoreResult, where: str | None) -> str:
    verified = output.count(result.verified, "file")
    if not result.files and not result.metafiles:
        if result.source == "undo":
            return (
                "Nothing to do: everything is as it was before that restore. `mlflow-dvc undo "
                "--list` tells of earlier ones."
            )
        return f"Nothing to do: {where or 'the workspace'} holds the run's data ({verified})."
    outs = output.count(len(result.added + result.modified + result.deleted), "out")
    files = output.count(result.files, "file")
    if result.dry_run:
        return f"Would change {outs}, {files}. Nothing was touched."
    speed = f" at {output.size(int(result.bytes / result.seconds))}/s" if result.bytes else ""
    return (
        f"Restored {outs}{f' into {where}' if where else ''}: {files}, {result.bytes:,} bytes in "
        f"{result.seconds:.1f} s{speed}; {verified} verified by hash."
    )
