"""``.gitignore``: what Git ignores, and therefore DVC.

The rules are those of dulwich, which DVC uses. As in a walk from the top, a path
is looked up only if no folder above it is ignored.
"""

from __future__ import annotations

import re
from functools import cached_property

from mlflow_dvc_plugin.capturing.ignore.dvcignore import compile_regex

_WILDCARDS = frozenset("*?[\\")


class GitIgnore:
    """The patterns of one ``.gitignore`` (or exclude file).

    Git matches bytes. Here, a character of Latin-1 stands for each byte.
    """

    def __init__(self, data: bytes, fold_case: bool = False) -> None:
        self._fold = fold_case
        # A pattern without wildcards is looked up, not matched: `dvc add` writes one
        # line for each file, and there can be thousands of both. `*.csv` is how a name ends.
        self._names: dict[str, list[_Rule]] = {}
        self._paths: dict[str, list[_Rule]] = {}
        self._globs: list[_Rule] = []
        for order, line in enumerate(data.splitlines()):
            self._add(order, line)
        self.is_empty = not (self._names or self._paths or self._globs)
        # To dulwich, `**` matches the folder of the file itself. `*` does not.
        own = [rule.ignored for rule in self._globs if _matches_empty(rule.body)]
        self.ignores_own_folder = bool(own) and own[-1]

    def _add(self, order: int, line: bytes) -> None:
        text = line.decode("latin-1")
        if not text.strip() or text.startswith("#"):
            return
        while text.endswith(" ") and not text.endswith("\\ "):
            text = text[:-1]
        text = text.replace("\\ ", " ")
        negated = text.startswith("!")
        if negated or text.startswith(("\\!", "\\#")):
            text = text[1:]
        body = text.rstrip("/")
        if not body:
            return
        rule = _Rule(order, not negated, text.endswith("/"), body, self._fold)
        literal = _WILDCARDS.isdisjoint(body)
        key = _lower(body) if self._fold else body
        if not literal:
            self._globs.append(rule)
        elif "/" not in key:
            self._names.setdefault(key, []).append(rule)
        else:
            self._paths.setdefault(key.removeprefix("/"), []).append(rule)

    def match(self, path: str, name: str, is_dir: bool) -> bool | None:
        """Is `path` (relative to the file's folder) ignored? None if no pattern matches."""
        if self._fold:
            path, name = _lower(path), _lower(name)
        last: _Rule | None = None
        for rules in (self._names.get(name), self._paths.get(path)):
            for rule in rules or ():
                if (is_dir or not rule.dirs_only) and (last is None or rule.order > last.order):
                    last = rule
        for rule in reversed(self._globs):
            if last is not None and rule.order < last.order:
                break
            if (is_dir or not rule.dirs_only) and rule.matches(path, name):
                last = rule
                break
        return last.ignored if last else None

    def match_contents(self, path: str) -> bool | None:
        """Does the last pattern for the contents of a folder (``dir/*``) ignore them?"""
        for rule in reversed(self._globs):
            if rule.body.endswith(("/*", "/**")) and rule.regex.match(path + "/x"):
                return rule.ignored
        return None


class _Rule:
    def __init__(
        self, order: int, ignored: bool, dirs_only: bool, body: str, fold_case: bool
    ) -> None:
        self.order = order
        self.ignored = ignored
        self.dirs_only = dirs_only
        self.body = body
        self.fold_case = fold_case
        end = _lower(body[1:]) if fold_case else body[1:]
        is_end = body[0] == "*" and "/" not in end and _WILDCARDS.isdisjoint(end)
        self._end = end if is_end else None

    def matches(self, path: str, name: str) -> bool:
        if self._end is not None:
            return name.endswith(self._end)
        return self.regex.match(path) is not None

    @cached_property
    def regex(self) -> re.Pattern[str]:
        flags = re.DOTALL | re.ASCII | (re.IGNORECASE if self.fold_case else 0)
        try:
            return compile_regex(_translate_pattern(self.body), flags)
        except re.error:
            return re.compile(r"(?!)")  # Git ignores a malformed pattern, too


def _lower(text: str) -> str:
    """Lower the letters of ASCII, as Git does."""
    return text.encode("latin-1").lower().decode("latin-1")


def _matches_empty(body: str) -> bool:
    rest = body.removeprefix("/")
    return rest.startswith("**") and not rest.strip("*/")


def _translate_pattern(pattern: str) -> str:
    """A gitignore pattern, without ``!`` and a final ``/``, as a regular expression."""
    regex = "" if "/" in pattern else "(?:.*/)?"
    # Folders, everything below, a star, a character class, and an escaped character.
    token = re.compile(
        r"(?:^|(?<=/))(\*\*/)|(?<=/)(\*\*\Z)|(\*+)"
        r"|\[([!^]?)(\]?(?:\[:\w+:\]|\\.|[^\]\\])*)\]|\\(.)|.",
        re.DOTALL,
    )
    for match in token.finditer(pattern, 1 if pattern[0] == "/" else 0):
        folders, everything, star, negated, body, escaped = match.groups()
        if match[0] == "[":
            return "(?!)"
        if negated is not None:
            regex += _translate_class(negated, body)
        elif match[0] == "?":
            regex += "[^/]"
        else:
            known = (folders and "(?:.*/)?") or (everything and ".+") or (star and "[^/]*")
            regex += known or re.escape(escaped or match[0])
    return regex + r"\Z"


_POSIX = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "digit": "0-9", "lower": "a-z", "upper": "A-Z",
    "space": r"\s", "punct": r"!-/:-@\[-`{-~", "xdigit": "0-9a-fA-F", "word": r"\w",
}  # fmt: skip


def _translate_class(negated: str, body: str) -> str:
    for name, chars in _POSIX.items():
        body = body.replace(f"[:{name}:]", f"\0{chars}\0")
    parts = body.split("\0")
    # The odd parts are the character classes that were inserted above.
    escaped = "".join(
        part if odd % 2 else part.replace("[", r"\[").replace("]", r"\]").replace("&", r"\&")
        for odd, part in enumerate(parts)
    )
    return f"(?!/)[{'^' if negated else ''}{escaped}]"
