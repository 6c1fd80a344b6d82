"""``.dvcignore``: what DVC ignores, when it looks for metafiles and inside tracked folders.

As in a walk from the top, a path is looked up only if no folder above it is
ignored.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from mlflow_dvc_plugin.capturing.files import read_file
from mlflow_dvc_plugin.errors import CaptureError

_DVC_DEFAULTS = (".hg/", ".git/", ".git", ".dvc/")
_DVC_FOLDERS = frozenset((".hg", ".git", ".dvc"))


class DvcIgnore:
    """The ``.dvcignore`` patterns that apply in one folder and below."""

    def __init__(self, patterns: tuple[str, ...] = ()) -> None:
        self.patterns = patterns
        self._rules = _compile_rules(_DVC_DEFAULTS + patterns) if patterns else []

    def add_file(self, project: str, folder: str) -> DvcIgnore:
        """Add the patterns of the ``.dvcignore`` in a folder of the project, if it has one.

        Raises:
            CaptureError: the file cannot be read.
        """
        name = f"{folder}/.dvcignore" if folder else ".dvcignore"
        path = os.path.join(project, name)
        if not os.path.lexists(path):
            return self
        try:
            lines = [line.strip() for line in read_file(path, name).decode("utf-8").splitlines()]
        except UnicodeDecodeError as err:
            raise CaptureError(name, "the file is not UTF-8") from err
        added = [line for line in lines if line and not line.startswith("#")]
        if folder:
            added = [_rebase_pattern(line, folder) for line in added]
        return DvcIgnore(self.patterns + tuple(added))

    def ignores(self, path: str, name: str, is_dir: bool) -> bool:
        """Does DVC ignore `path` (relative to the project), whose last part is `name`?"""
        if not self._rules:
            return name == ".git" or (is_dir and name in _DVC_FOLDERS)
        for regex, ignored, dirs_only in reversed(self._rules):
            if dirs_only and not is_dir:
                continue
            if regex.match(path) or (is_dir and regex.match(path + "/")):
                return ignored
        return False


def is_out_ignored(
    dvcignores: Mapping[str, DvcIgnore], path: str, full: str, add_file: Callable[[str], None]
) -> bool:
    """Does a ``.dvcignore`` ignore an out?

    Args:
        dvcignores: the patterns of each folder that has a ``.dvcignore``.
        path: of the out, relative to the project.
        full: of the out, absolute.
        add_file: called with `full` if the answer depends on what is there.
    """
    if not dvcignores and ".git" not in path and ".dvc" not in path and ".hg" not in path:
        return False
    parts = path.split("/")
    rules = DvcIgnore()
    for depth, name in enumerate(parts):
        rules = dvcignores.get("/".join(parts[:depth]), rules)
        upper = "/".join(parts[: depth + 1])
        if depth < len(parts) - 1:
            if rules.ignores(upper, name, True):
                return True
            continue
        add_file(full)
        if rules.ignores(upper, name, False):
            return not os.path.isdir(full) or rules.ignores(upper, name, True)
        # An out that is absent could become a folder.
        return rules.ignores(upper, name, True) and not os.path.isfile(full)
    return False


def _compile_rules(patterns: tuple[str, ...]) -> list[tuple[re.Pattern[str], bool, bool]]:
    spec = find_pattern_class()
    rules = []
    pattern = ""
    try:
        for pattern in patterns:
            regex, ignored = spec.pattern_to_regex(pattern)
            if regex is not None and ignored is not None:
                rules.append((compile_regex(regex), ignored, pattern.endswith("/")))
    except (ValueError, re.error) as err:
        raise CaptureError(".dvcignore", f"the pattern {pattern!r} is invalid") from err
    return rules


def find_pattern_class() -> Any:
    """The class of gitignore patterns in pathspec that DVC uses."""
    try:
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern
    except ImportError:  # pathspec < 1
        from pathspec import patterns

        return patterns.GitWildMatchPattern  # type: ignore[attr-defined]
    return GitIgnoreSpecPattern


def compile_regex(regex: str, flags: int = 0) -> re.Pattern[str]:
    """Compile a regular expression without a warning in the training job (for `[[:alpha:]]`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(regex, flags)


def _rebase_pattern(rule: str, folder: str) -> str:
    """A pattern of a folder's ``.dvcignore``, relative to the project (``dvc.pathspec_math``)."""
    negated = rule.startswith("!")
    rule = rule[1:] if negated else rule
    if "/" in rule[:-1] and not rule.startswith("**/"):
        anywhere, rule = "/", rule.removeprefix("/")
    else:
        anywhere, rule = "/**/", rule.removeprefix("**/")
    rule = rule.removeprefix("\\")
    return f"{'!' if negated else ''}/{folder}{anywhere}{rule}"
