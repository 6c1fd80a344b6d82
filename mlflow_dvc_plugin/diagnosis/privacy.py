"""What nobody else may see in a text that people paste into an issue."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any

MASK = "***"
# The user and the password in an address, also if someone forgot to quote a slash in them,
# and what stands for them in its query.
_USER = re.compile(r"(?<=://)(?:[^/?#\s]*|[^\s@:/]*:\S*)@")
_QUERY = re.compile(
    r"(?i)([?&;][^=&;\s]*(?:pass|secret|token|key|sig|credential)[^=&;\s]*=)[^&;\s]+"
)
_NAME = re.compile(r"(?i)(?:password|passwd|secret|token|key|credentials?|connection_string)\Z")
_LEAST = 4  # characters: what is shorter keeps nobody out, and stands in many words


def build_mask(secrets: Iterable[str]) -> Callable[[Any], Any]:
    """A function that hides these secrets in all texts of a value, and shortens the home folder.

    It also hides the user and the password in any address, and the values of environment
    variables that are passwords, tokens or keys by their names.
    """
    hidden = {*secrets, *(value for name, value in os.environ.items() if _NAME.search(name))}
    words = sorted((re.escape(each) for each in hidden if len(each) >= _LEAST), key=len)
    secret = re.compile(rf"(?<!\w)(?:{'|'.join(reversed(words))})(?!\w)") if words else None
    homes = _build_home_pattern()

    def mask(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: mask(getattr(value, f.name)) for f in fields(value)})
        if isinstance(value, dict):
            return {key: mask(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(mask(item) for item in value)
        if not isinstance(value, str):
            return value
        text = _QUERY.sub(rf"\g<1>{MASK}", _USER.sub(f"{MASK}@", value))
        text = secret.sub(MASK, text) if secret else text
        return homes.sub("~", text) if homes else text

    return mask


def _build_home_pattern() -> re.Pattern[str] | None:
    home = os.path.expanduser("~")
    folders = {home.rstrip(os.sep), os.path.realpath(home).rstrip(os.sep)} - {"", "~"}
    if not folders:
        return None
    longest_first = sorted(map(re.escape, folders), key=len, reverse=True)
    return re.compile(rf"(?<![\w.~-])(?:{'|'.join(longest_first)})(?![\w.-])")
