"""``mlflow-dvc restore RUN [PATH…]``."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

import click

from mlflow_dvc_plugin.cli.output import (
    common_options,
    format_count,
    format_size,
    origin_options,
    print_json,
    print_line,
)
from mlflow_dvc_plugin.cli.progress_bar import ProgressBar
from mlflow_dvc_plugin.errors import RestoreError

if TYPE_CHECKING:
    from mlflow_dvc_plugin.restoring import RestoreResult


@click.command("restore")
@click.argument("run")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--out", metavar="DIR", help="Write the data into DIR; do not touch the project.")
@click.option(
    "--worktree",
    metavar="DIR",
    help="Make a Git worktree at the run's commit, with its code and data.",
)
@click.option("--model", is_flag=True, help="Bring the bytes of the model too, if DVC has them.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what would be done, and change nothing. Exit with 1 if a file is in the way.",
)
@click.option("--force", is_flag=True, help="Save files that are in the way first, and go on.")
@click.option(
    "--skip-forgotten",
    is_flag=True,
    help="Leave out what `mlflow-dvc forget` deleted, and restore the rest.",
)
@click.option("--remote", metavar="NAME", help="The DVC remote to fetch from.")
@origin_options
@click.option(
    "--cache",
    metavar="DIR",
    help="With --url or --config: keep what was fetched in this cache. [default: a temporary one]",
)
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="How many objects to fetch at once.")
@common_options
def command(
    run: str,
    paths: tuple[str, ...],
    *,
    out: str | None,
    worktree: str | None,
    model: bool,
    dry_run: bool,
    force: bool,
    skip_forgotten: bool,
    remote: str | None,
    jobs: int | None,
    url: str | None,
    config: str | None,
    cache: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Make the workspace hold the data that RUN was made from.

    RUN is a run id, a unique prefix of one, runs:/ID, models:/NAME/VERSION,
    models:/NAME/latest, models:/NAME@ALIAS or models:/ID. PATH limits the
    restore to some outs, or to those in a folder.

    All data is fetched and verified before anything is written. Files with
    content that is in neither the DVC cache nor Git are in the way: they are not
    replaced, unless --force saves them first. `mlflow-dvc undo` takes a restore
    back.

    --out needs no clone of the project if --url, MLFLOW_DVC_URL or --config says
    where its DVC remote is.
    """
    from mlflow_dvc_plugin.restoring import restore

    with ProgressBar() as progress:
        result = restore(
            run,
            to_run_paths(paths, elsewhere=bool(url or config)) if paths else None,
            out,
            worktree=worktree,
            model=model,
            dry_run=dry_run,
            force=force,
            skip_forgotten=skip_forgotten,
            remote=remote,
            jobs=jobs,
            url=url,
            config=config,
            cache=cache,
            tracking_uri=tracking_uri,
            progress=progress,
        )
    report(result, as_json=as_json, folder=out or worktree)


def to_run_paths(paths: tuple[str, ...], *, elsewhere: bool) -> list[str]:
    """Make paths that were typed in the working directory relative to the run's project.

    Without a clone of it, or if the data is `elsewhere`, they must already be so.
    """
    from mlflow_dvc_plugin.capturing import find_project

    root = None if elsewhere else find_project()
    if root is None:
        return [posixpath.normpath(path) for path in paths]
    found = []
    for path in paths:
        relative = _to_relative(os.path.abspath(path), root)
        if relative is None:
            # As typed, it may lead through a link to the project's folder.
            folder, name = os.path.split(os.path.abspath(path))
            full = os.path.join(os.path.realpath(folder), name)
            relative = _to_relative(full, os.path.realpath(root))
        if relative is None:
            raise RestoreError(f"{path} is outside the project {root}.")
        found.append(relative)
    return found


def _to_relative(path: str, root: str) -> str | None:
    """Make a path relative to a folder, POSIX; None if it is not in the folder."""
    relative = os.path.relpath(path, root).replace(os.sep, "/")
    return None if relative == ".." or relative.startswith("../") else relative


def report(result: RestoreResult, *, as_json: bool, folder: str | None = None) -> None:
    """Print what was done, or would be; a dry run raises the error that the restore would."""
    if as_json:
        print_json(result.to_dict())
    else:
        _print_paths(result)
        print_line(_summarize(result, folder))
        if result.undo:
            print_line("To take it back: mlflow-dvc undo")
    if result.refusal:
        raise RestoreError(result.refusal)


def _print_paths(result: RestoreResult) -> None:
    if result.source != "undo":
        print_line(f"Run {result.run_id}: the data state was read from its {result.source}.")
    for sign, colour, paths in (
        ("A", "green", result.added),
        ("M", "yellow", result.modified),
        ("D", "red", result.deleted),
        ("M", "yellow", result.metafiles),
        ("-", None, result.left),
    ):
        for path in paths:
            print_line(f"{sign}  {path}", colour, dim=colour is None)
    for path in result.in_the_way if result.dry_run else ():
        how = "" if result.refusal else ", and is saved first"
        print_line(f"!  {path} is in the way{how}", "red")
    if result.in_the_way and not result.dry_run:
        saved = ", ".join(result.in_the_way)
        print_line(f"Saved in the cache or the undo record, then replaced: {saved}", dim=True)
    for path, when in result.forgotten.items():
        print_line(f"-  {path}: {when}, and not restored", "yellow")
    if result.kept:
        print_line(f"Not part of the run, left as they are: {', '.join(result.kept)}", dim=True)
    if result.untracked:
        print_line(
            f"Data without a metafile, which DVC does not track: {', '.join(result.untracked)}",
            dim=True,
        )
    if result.differed:
        print_line(
            f"The run itself read other content, which was never added to DVC, from: "
            f"{', '.join(result.differed)}. Only what DVC had recorded can come back.",
            "yellow",
        )


def _summarize(result: RestoreResult, folder: str | None) -> str:
    verified = format_count(result.verified, "file")
    outs = format_count(len(result.added + result.modified + result.deleted), "out")
    changes = f"{outs} ({format_count(result.files, 'file')})"
    if result.metafiles:
        changes += f" and {format_count(len(result.metafiles), 'metafile')}"
    rest = f" Not restored: {format_count(len(result.left), 'out')}." if result.left else ""
    if result.dry_run and (result.files or result.metafiles):
        return f"Would change {changes}. Nothing was changed.{rest}"
    if result.files or result.metafiles:
        speed = f" at {format_size(int(result.bytes / result.seconds))}/s" if result.bytes else ""
        return (
            f"Restored {changes}{f' into {folder}' if folder else ''}: {result.bytes:,} bytes in "
            f"{result.seconds:.1f} s{speed}; {verified} verified by hash.{rest}"
        )
    if result.source == "undo":
        return (
            "Nothing to do: the workspace is as it was before that restore. `mlflow-dvc undo "
            "--list` shows earlier ones."
        )
    if result.is_empty:
        return f"{folder} has the run's code. No data was restored.{rest}"
    data = "what DVC had recorded for the run" if result.differed else "the run's data"
    return f"Nothing to do: {folder or 'the workspace'} holds {data} ({verified}).{rest}"
