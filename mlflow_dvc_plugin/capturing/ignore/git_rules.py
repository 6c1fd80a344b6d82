"""The ignore files of Git that apply in a project, and what they ignore together."""

from __future__ import annotations

import os
from collections.abc import Callable

from mlflow_dvc_plugin.capturing.dvc_config import read_sections
from mlflow_dvc_plugin.capturing.ignore.gitignore import GitIgnore

# The ignore files that apply in a folder, each with its own folder's path relative
# to the Git work tree ("" or ending in "/"). Later ones win.
GitRules = tuple[tuple[str, GitIgnore], ...]

_MAX_BYTES = 1 << 24


def read_rules_above(
    project: str, git: tuple[str, str] | None, add_file: Callable[[str], None]
) -> tuple[str, GitRules | None, bool]:
    """Read the rules that apply to a project from outside it.

    Returns the project's path in the work tree, "" or ending in "/", the rules, and whether
    Git ignores case; None for the rules if Git ignores the project itself.
    """
    if git is None:
        return "", (), False
    root, git_dir = git
    prefix = os.path.relpath(project, root).replace(os.sep, "/")
    prefix = "" if prefix == "." else f"{prefix}/"
    excludes, fold_case = _read_settings(git_dir, add_file)
    # The user's file is weaker than any .gitignore, and info/exclude weaker still.
    rules: GitRules = ()
    for path in (os.path.join(git_dir, "info", "exclude"), excludes):
        rules += read_gitignore("", path, add_file, fold_case=fold_case, follow_links=True)
    base = ""
    for part in prefix.split("/")[:-1]:
        path = os.path.join(root, base, ".gitignore")
        rules += read_gitignore(base, path, add_file, fold_case=fold_case)
        if ignores_own_folder(rules) or is_git_ignored(rules, base + part, part, True):
            return prefix, None, fold_case
        base += f"{part}/"
    return prefix, rules, fold_case


def read_gitignore(
    base: str,
    path: str,
    add_file: Callable[[str], None],
    *,
    fold_case: bool,
    follow_links: bool = False,
) -> GitRules:
    """Read one ignore file, whose patterns are relative to the folder `base`."""
    add_file(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    if not follow_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            rule = GitIgnore(file.read(_MAX_BYTES), fold_case)
    except OSError:
        return ()
    return () if rule.is_empty else ((base, rule),)


def ignores_own_folder(rules: GitRules) -> bool:
    """Does the deepest ignore file, if it is below the top, ignore the folder that it is in?"""
    return bool(rules and rules[-1][0] and rules[-1][1].ignores_own_folder)


def is_git_ignored(rules: GitRules, path: str, name: str, is_dir: bool) -> bool:
    """Does Git ignore `path` (relative to the work tree), as dulwich, DVC's Git, decides it?"""
    if not path.isascii():  # Git matches bytes
        path = os.fsencode(path).decode("latin-1")
        name = path.rpartition("/")[2]
        rules = tuple((os.fsencode(base).decode("latin-1"), rule) for base, rule in rules)
    for base, rule in reversed(rules):
        ignored = rule.match(path[len(base) :], name, is_dir)
        if ignored is not None:
            if ignored:
                return True
            break
    if is_dir:
        # DVC asks dulwich about `folder/`, so a pattern for its contents decides, too.
        for base, rule in reversed(rules):
            ignored = rule.match_contents(path[len(base) :])
            if ignored is not None:
                return ignored
    return False


def _read_settings(git_dir: str, add_file: Callable[[str], None]) -> tuple[str, bool]:
    """The user's exclude file, and whether Git ignores case."""
    home = os.path.expanduser("~")
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    found: dict[str, str] = {}
    for path in (
        os.path.join(git_dir, "config"),
        os.path.join(home, ".gitconfig"),
        os.path.join(base, "git", "config"),
        "/etc/gitconfig",
    ):
        add_file(path)
        for section, values in read_sections(path):
            if section.lower() == "core":
                found = {**values, **found}
    excludes = found.get("excludesfile") or os.path.join(base, "git", "ignore")
    return os.path.expanduser(excludes), found.get("ignorecase", "").lower() == "true"
