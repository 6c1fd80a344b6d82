"""``.dvcignore``: what DVC ignores, when it looks for metafiles and inside tracked folders.

As in a walk from the top, a path is looked up only if no folder above it is
ignored.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlflow_dvc_plugin.capturing.files import read_file
from mlflow_dvc_plugin.errors import CaptureError

_DVC_DEFAULTS = (".hg/", ".git/", ".git", ".dvc/")
_DVC_FOLDERS = frozenset((".hg", ".git", ".dvc"))
# A pattern that is the name of a file or folder anywhere, or how such a name ends.
_SIMPLE = r"(\*?)([A-Za-z0-9_.-]*[A-Za-z0-9_])/?"


class DvcIgnore:
    """The ``.dvcignore`` patterns that apply in one folder and below."""

    def __init__(self, patterns: tuple[str, ...] = ()) -> None:
        self.patterns = patterns
        self._rules = _compile_rules(_DVC_DEFAULTS + patterns) if patterns else []
        self._ignores_all = False

    def add_file(self, project: str, folder: str) -> DvcIgnore:
        """Add the patterns of the ``.dvcignore`` in a folder of the project, if it has one."""
        name = f"{folder}/.dvcignore" if folder else ".dvcignore"
        path = os.path.join(project, name)
        if not os.path.lexists(path):
            return self
        try:
            lines = [line.strip() for line in read_file(path, name).decode("utf-8").splitlines()]
        except UnicodeDecodeError as err:
            raise CaptureError(name, "the file is not UTF-8") from err
        added = [line for line in lines if line and not line.startswith("#")]
        if not added:
            return self  # `dvc init` writes a file of comments
        if folder:
            added = [_rebase_pattern(line, folder) for line in added]
        rules = DvcIgnore(self.patterns + tuple(added))
        # A folder's own `**` matches the folder itself: then no `!` can bring a file back.
        rules._ignores_all = bool(folder) and rules.ignores(folder, os.path.basename(folder), True)
        return rules

    def ignores(self, path: str, name: str, is_dir: bool) -> bool:
        """Does DVC ignore `path` (relative to the project), whose last part is `name`?"""
        if not self.patterns:
            return name == ".git" or (is_dir and name in _DVC_FOLDERS)
        if self._ignores_all:
            return True
        parts = path.split("/")
        for ignored, always, for_folders in self._rules:
            if always.match(path, parts, is_dir) or (
                is_dir and for_folders.match(path, parts, is_dir)
            ):
                return ignored
        return False


class DvcIgnoreTree:
    """The patterns in each folder; `add_own` adds a folder's own to those from above."""

    def __init__(self, add_own: Callable[[DvcIgnore, str], DvcIgnore]) -> None:
        self._add_own = add_own
        self._rules: dict[str, DvcIgnore | None] = {"": add_own(DvcIgnore(), "")}

    def find_rules(self, folder: str) -> DvcIgnore | None:
        """The patterns that apply in a folder; None if DVC ignores the folder itself."""
        if folder in self._rules:
            return self._rules[folder]
        path, rules = "", self._rules[""]
        for name in folder.split("/"):
            path = f"{path}/{name}" if path else name
            if path not in self._rules:
                if rules is not None:
                    rules = None if rules.ignores(path, name, True) else self._add_own(rules, path)
                self._rules[path] = rules
            rules = self._rules[path]
        return rules


class OutIgnore:
    """The outs that DVC refuses, by the patterns of each folder that has its own ``.dvcignore``.

    `add_file` is called with the path of an out if the answer depends on what is there.
    """

    def __init__(
        self, dvcignores: Mapping[str, DvcIgnore], add_file: Callable[[str], None]
    ) -> None:
        self._tree = DvcIgnoreTree(lambda rules, folder: dvcignores.get(folder, rules))
        self._has_patterns = any(rules.patterns for rules in dvcignores.values())
        self._add_file = add_file

    def ignores(self, path: str, full: str) -> bool:
        """Does a ``.dvcignore`` ignore the out at `path` (`full` is its absolute path)?"""
        if not self._has_patterns and not any(name in path for name in _DVC_FOLDERS):
            return False
        folder, _, name = path.rpartition("/")
        rules = self._tree.find_rules(folder)
        if rules is None:
            return True
        as_file, as_folder = (rules.ignores(path, name, is_dir) for is_dir in (False, True))
        if as_file == as_folder:
            return as_file
        self._add_file(full)
        # An out that is absent could become either.
        return not os.path.isdir(full) if as_file else not os.path.isfile(full)


class _PatternSet:
    """Patterns that are matched together: one regular expression, or none for simple ones.

    Each pattern comes without its ``!``, and with the regular expression that it stands for.
    """

    def __init__(self, patterns: Iterable[tuple[str, str]]) -> None:
        self._names: set[str] = set()
        self._suffixes: tuple[str, ...] = ()
        regexes = []
        for pattern, regex in patterns:
            simple = re.fullmatch(_SIMPLE, pattern, re.ASCII)
            if simple is None:
                # A name may stand only once in a regular expression.
                regexes.append(f"(?:{regex.replace('?P<ps_d>', '?:')})")
            elif simple[1]:
                self._suffixes += (simple[2],)
            else:
                self._names.add(simple[2])
        self._regex = compile_regex("|".join(regexes)) if regexes else None

    def match(self, path: str, parts: list[str], is_dir: bool) -> bool:
        """Does one of the patterns match the path, of which `parts` are the parts?"""
        if not self._names.isdisjoint(parts):
            return True
        if self._suffixes and any(part.endswith(self._suffixes) for part in parts):
            return True
        regex = self._regex
        return regex is not None and bool(regex.match(path) or (is_dir and regex.match(f"{path}/")))


# Neighbouring patterns that decide the same: whether DVC ignores what they match, those
# for files and folders, and those that end in a slash.
_Rule = tuple[bool, _PatternSet, _PatternSet]


def _compile_rules(patterns: tuple[str, ...]) -> list[_Rule]:
    """The rules of some patterns; the first that matches decides."""
    spec = find_pattern_class()
    groups: list[tuple[bool, list[tuple[str, str]], list[tuple[str, str]]]] = []
    pattern = ""
    try:
        for pattern in patterns:
            regex, ignored = spec.pattern_to_regex(pattern)
            if regex is None or ignored is None:
                continue
            if not groups or groups[-1][0] != ignored:
                groups.append((ignored, [], []))
            _, always, for_folders = groups[-1]
            chosen = for_folders if pattern.endswith("/") else always
            chosen.append((pattern.removeprefix("!"), regex))
        pattern = ""
        # The last pattern that matches decides.
        return [(ignored, _PatternSet(a), _PatternSet(f)) for ignored, a, f in groups[::-1]]
    except (ValueError, re.error) as err:
        what = f"the pattern {pattern!r} is invalid" if pattern else f"a pattern is invalid: {err}"
        raise CaptureError(".dvcignore", what) from err


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
