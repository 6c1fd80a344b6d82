"""Values of ``dvc.yaml`` with the ``${...}`` expressions in them resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_TEMPLATE = re.compile(r"(?<!\\)\${(.*?)}")
# A name with keys or indices: both parsers of DVC read these in the same way.
_EXPRESSION = re.compile(r"[^\s.\[\]{}$\\]+(?:\.[^\s.\[\]{}$\\]+|\[[^\s.\[\]{}$\\]+\])*")


class UnsupportedError(Exception):
    """Only DVC itself can say what a template means, or what is wrong with it."""


def interpolate(value: Any, context: Mapping[str, Any], key: str | None = None) -> Any:
    """Resolve the expressions in a value, or raise an UnsupportedError.

    `key`, the key in ``dvc.yaml`` that the value belongs to, decides where lists and
    mappings can be used; None where they can be used everywhere.
    """
    if isinstance(value, str):
        return _interpolate_text(value, context, key) if "${" in value else value
    if isinstance(value, dict):
        return {
            interpolate(k, context, key): interpolate(v, context, key) for k, v in value.items()
        }
    if isinstance(value, list):
        return [interpolate(item, context, key) for item in value]
    return value


def to_text(value: Any) -> str:
    """A value as DVC writes it into a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _interpolate_text(text: str, context: Mapping[str, Any], key: str | None) -> Any:
    literals, expressions = _parse_text(text)
    values = [_look_up(context, expression) for expression in expressions]
    for value in values:
        if isinstance(value, (dict, list)):
            is_allowed = key in (None, "foreach") or (key == "cmd" and isinstance(value, dict))
            if not is_allowed:
                raise UnsupportedError
    if literals == ("", ""):
        return values[0]
    parts = [literals[0]]
    for value, literal in zip(values, literals[1:], strict=True):
        parts += (value if type(value) is str else _to_part(value), literal)
    return "".join(parts).replace(r"\${", "${")


@lru_cache(maxsize=1024)
def _parse_text(text: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The texts around the expressions, and the expressions, as names, keys and indices."""
    literals = _TEMPLATE.split(text)
    expressions = [expression.strip() for expression in literals[1::2]]
    if not all(map(_EXPRESSION.fullmatch, expressions)):
        raise UnsupportedError
    split = [tuple(e.replace("[", ".").replace("]", "").split(".")) for e in expressions]
    return tuple(literals[::2]), tuple(split)


def _to_part(value: Any) -> str:
    """A value as a part of a text."""
    if isinstance(value, list):
        raise UnsupportedError
    if isinstance(value, dict):
        # The options of a command, which is not part of the state.
        if not _are_options(value):
            raise UnsupportedError
        return ""
    return to_text(value)


def _look_up(context: Any, expression: tuple[str, ...]) -> Any:
    value = context
    try:
        for part in expression:
            value = value[int(part)] if isinstance(value, list) else value[part]
    except (LookupError, TypeError, ValueError):
        raise UnsupportedError from None
    return value


def _are_options(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_are_options, value.values()))
    return not isinstance(value, list) or not any(isinstance(v, (dict, list)) for v in value)
