"""Files and folders that neither DVC nor Git tracks, and that MLFLOW_DVC_SAVE names."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from mlflow_dvc_plugin.capturing.formats.outs import Out
from mlflow_dvc_plugin.capturing.ignore.dvcignore import DvcIgnore, find_pattern_class
from mlflow_dvc_plugin.capturing.saving.limits import NotSavedError
from mlflow_dvc_plugin.errors import GitError, SettingsError
from mlflow_dvc_plugin.git import find_git, run_git
from mlflow_dvc_plugin.settings import PREFIX
from mlflow_dvc_plugin.state import Entry

_MAX_FOUND = 1000
# What DVC and Git read as their own, and so restore does not write.
_SETTINGS = {"dvc.yaml", "dvc.lock", ".dvcignore", ".gitignore", ".gitattributes", ".gitmodules"}


def find_untracked(project: str, tracked: Iterable[str], patterns: Sequence[str]) -> list[Out]:
    """Find what the patterns name, as outs without a hash and without a metafile.

    A folder that a pattern names, or all that is in it, is one out, unless something in it
    is among the `tracked` paths or in Git. Links to folders are not followed.
    """
    spec = _compile(patterns)
    known = {*tracked, *_list_git_files(project)}
    parents = {path[: match.start()] for path in known for match in re.finditer("/", path)}
    # What a later pattern excludes must not come along with its folder.
    divide = any(pattern.startswith("!") for pattern in patterns)
    found: list[Out] = []
    for path, is_folder in _walk(project, list(map(_find_prefix, patterns)), known):
        if spec.match_file(path) and not (is_folder and (divide or path in parents)):
            if len(found) == _MAX_FOUND:
                raise NotSavedError(
                    f"its patterns name more than {_MAX_FOUND:,} files and folders; name whole "
                    "folders, such as data/new/**"
                )
            found.append(Out(Entry(path, "md5", None, isdir=is_folder), f"{project}{os.sep}{path}"))
            known.add(path)
    return found


def _compile(patterns: Sequence[str]) -> Any:
    from pathspec import PathSpec

    try:
        whole = [pattern.removesuffix("/**") for pattern in patterns]
        return PathSpec.from_lines(find_pattern_class(), whole)
    except ValueError as err:
        text = ",".join(patterns)
        raise SettingsError(f"{PREFIX}SAVE", text, "1, 0 or gitwildmatch patterns") from err


def _find_prefix(pattern: str) -> str:
    """The path at or below which a pattern can match; empty for all of the project."""
    pattern = pattern.removeprefix("!")
    if "/" not in pattern.rstrip("/"):
        return ""
    literal = re.match(r"[^*?\[\\]*", pattern)
    prefix = literal[0] if literal else ""
    is_literal = prefix == pattern
    return (prefix if is_literal else prefix.rpartition("/")[0]).strip("/")


def _walk(
    project: str, prefixes: Collection[str], known: Collection[str]
) -> Iterator[tuple[str, bool]]:
    """The paths of files and folders that are not known, a folder before what is in it.

    The caller adds a path to `known` to keep the walk out of it.
    """
    pending = [("", DvcIgnore().add_file(project, ""))]
    while pending:
        folder, rules = pending.pop()
        try:
            with os.scandir(os.path.join(project, folder)) as listing:
                items = sorted(listing, key=lambda item: item.name)
        except OSError:
            continue  # a run cannot read what is in it, either
        for item in items:
            path = f"{folder}/{item.name}" if folder else item.name
            is_folder = item.is_dir()
            if path in known or rules.ignores(path, item.name, is_folder):
                continue
            if not is_folder:
                if item.name not in _SETTINGS and not item.name.endswith(".dvc"):
                    yield path, False
            elif (
                not item.is_symlink()
                and _may_match_in(path, prefixes)
                and not (
                    os.path.lexists(os.path.join(item.path, ".dvc"))  # a project of its own
                )
            ):
                yield path, True
                if path not in known:
                    pending.append((path, rules.add_file(project, path)))


def _may_match_in(folder: str, prefixes: Iterable[str]) -> bool:
    return any(
        not prefix or f"{folder}/".startswith(f"{prefix}/") or f"{prefix}/".startswith(f"{folder}/")
        for prefix in prefixes
    )


def _list_git_files(project: str) -> list[str]:
    if find_git(project) is None:
        return []
    try:
        return os.fsdecode(run_git(project, "ls-files", "-z")).split("\0")[:-1]
    except GitError:
        return []
