"""YAML as DVC reads it: YAML 1.2, with the types of ruamel.yaml's safe loader.

PyYAML's own constructors follow YAML 1.1, where a file named ``no`` or
``12:30:45`` is not a string. So capture uses only its parser, and builds the
values from the parser's events: in one loop, because nested values must not
exhaust the stack, and with a limit for what aliases expand to.
"""

from __future__ import annotations

import re
from typing import Any

from mlflow_dvc_plugin.errors import FormatError

MAX_DEPTH = 100
# Values that aliases stand for, all together.
MAX_ALIASED = 500_000

_TAG = "tag:yaml.org,2002:"
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {w: w[0] in "tT" for w in ("true", "True", "TRUE", "false", "False", "FALSE")}
# Every scalar that is not a string begins with one of these.
_TYPED = frozenset("+-.0123456789~nNtTfF")
_NUMERIC = frozenset("+-.0123456789")
_ODD = _TYPED | {"", "<", "="}
# A number with the base 10 or 8 or a timestamp consists of these characters alone.
_IN_NUMBERS = "0123456789_+-.:eEinfINFaAtTZ "
_BASES = ("0b", "0o", "0x")
# Compiled when they are first used: many projects need none, or one.
_WHOLE = r"[-+]?(?:0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)"
_FRACTIONAL = (
    r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN)"
)
_TIMESTAMP = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9][0-9])?))?"
)
# These are line breaks in YAML 1.1 and for PyYAML, but characters for DVC.
_LINE_BREAKS = "\x85\u2028\u2029"
# The scalars `<<` and `=`, which ruamel.yaml accepts as keys only.
_MERGE = object()
_VALUE = object()
_KEYS_ONLY = {"<<": _MERGE, "=": _VALUE}


class Timestamp(str):
    """A date or time, which is not a string for DVC."""

    __slots__ = ()


def load_yaml(data: bytes) -> Any:
    """Load the one document in `data`, or raise a FormatError if DVC would refuse it.

    It refuses more than one document, a duplicate key, an unknown tag, too many levels.
    """
    import yaml

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as err:
        raise FormatError("it is not UTF-8") from err
    if not text.isascii() and any(character in text for character in _LINE_BREAKS):
        raise FormatError("it has a line break that is none in YAML 1.2, such as U+2028")
    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        parser = loader(text)
        try:
            return _Builder(yaml).build(parser)
        finally:
            parser.dispose()
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise FormatError(f"it is not valid YAML{where}") from err
    except (ValueError, OverflowError, RecursionError, MemoryError) as err:
        raise FormatError("it is not valid YAML") from err


class _Frame:
    """A mapping or list that is not complete yet."""

    __slots__ = ("anchor", "container", "has_key", "key", "merges", "size")

    def __init__(self, container: Any, anchor: str | None) -> None:
        self.container = container
        self.anchor = anchor
        self.key: Any = None
        self.has_key = False
        self.size = 1  # after the expansion of aliases
        self.merges: list[dict[Any, Any]] = []

    def put(self, value: Any, size: int) -> None:
        """Add the next item, key or value."""
        self.size += size
        container = self.container
        if type(container) is list:
            container.append(value if type(value) is str else _to_item(value))
        elif not self.has_key:
            self.key, self.has_key = value if type(value) is str else _to_key(value), True
        else:
            key, self.has_key = self.key, False
            if type(value) is not str:
                value = _to_item(value)
            if key is _MERGE:
                parts = value if isinstance(value, list) else [value]
                if not all(isinstance(part, dict) for part in parts):
                    raise FormatError("it merges (<<) a value that is not a mapping")
                self.merges += parts
                return
            if key in container:
                raise FormatError(f"it has the key {key!r} twice")
            container[key] = value

    def close(self) -> Any:
        """The complete container."""
        for part in self.merges:
            for key, value in part.items():
                self.container.setdefault(key, value)
        return self.container


class _Builder:
    """Turns the events of a parser into values, with a stack of its own."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml
        self._stack: list[_Frame] = []
        # Each anchor's value with its size after the expansion of aliases.
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0

    def build(self, parser: Any) -> Any:
        yaml, stack, anchors = self._yaml, self._stack, self._anchors
        scalar, alias = yaml.ScalarEvent, yaml.AliasEvent
        starts = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
        ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
        root: Any = None
        documents = 0
        get_event = parser.get_event
        while (event := get_event()) is not None:
            kind = type(event)
            if kind is scalar:
                value, size = _to_scalar(event), 1
                if event.anchor:
                    anchors[event.anchor] = value, size
            elif kind in starts:
                self._open(event, kind is starts[0])
                continue
            elif kind in ends:
                frame = stack.pop()
                value, size = frame.close(), frame.size
                if frame.anchor:
                    anchors[frame.anchor] = value, size
            elif kind is alias:
                value, size = self._find_anchor(event.anchor)
            else:
                if kind is yaml.DocumentStartEvent:
                    documents += 1
                    _check_document(event, documents)
                continue
            if stack:
                stack[-1].put(value, size)
            else:
                root = _to_item(value)
        return root

    def _open(self, event: Any, is_mapping: bool) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise FormatError(f"it is nested deeper than {MAX_DEPTH} levels")
        if event.tag not in (None, "!", _TAG + ("map" if is_mapping else "seq")):
            raise FormatError(f"DVC does not accept the YAML tag {event.tag}")
        if event.anchor:
            # An alias to a container that is not complete yet is refused.
            self._anchors.pop(event.anchor, None)
        self._stack.append(_Frame({} if is_mapping else [], event.anchor))

    def _find_anchor(self, name: str) -> tuple[Any, int]:
        if name not in self._anchors:
            raise FormatError(f"it has the alias *{name} without an anchor")
        value, size = self._anchors[name]
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise FormatError("its aliases expand to too many values")
        return value, size


def _check_document(event: Any, number: int) -> None:
    if number > 1:
        raise FormatError("it has more than one YAML document")
    if event.version and tuple(event.version) != (1, 2):
        raise FormatError("it requires another version of YAML than 1.2")


def _to_item(value: Any) -> Any:
    if value is _MERGE or value is _VALUE:
        raise FormatError("it has << or = as a value without quotes")
    return value


def _to_key(value: Any) -> Any:
    if value is _VALUE:
        return "="
    if isinstance(value, list):
        return tuple(map(_to_key, value))
    if isinstance(value, dict):
        raise FormatError("it has a key that is a mapping")
    return value


def _to_scalar(event: Any) -> Any:
    text: str = event.value
    if event.implicit[0]:  # plain, without a tag
        if "\t" in text:
            raise FormatError("it has a tab in a string without quotes")
        if text[:1] not in _ODD:
            return text
        return _KEYS_ONLY[text] if text in _KEYS_ONLY else parse_scalar(text)
    tag = event.tag
    if tag == "!" and not text and not event.style:
        return None
    if tag is None or tag in ("!", _TAG + "str"):
        return text
    if tag.startswith(_TAG):
        if tag == f"{_TAG}float":
            return _parse_float(text)
        value = parse_scalar(text)
        name = {type(None): "null", bool: "bool", int: "int"}.get(type(value))
        if tag == f"{_TAG}{name}":
            return value
    raise FormatError(f"DVC does not accept the YAML tag {tag}")


def parse_scalar(text: str) -> Any:
    """The value of a plain scalar."""
    if text and text[0] not in _TYPED:
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in _NUMERIC:
        return text
    is_decimal = text[0] not in "+-" and text[:2] not in _BASES
    return text if is_decimal and text.strip(_IN_NUMBERS) else _parse_number(text)


def _parse_number(text: str) -> Any:
    """The number or timestamp that a text stands for, if it is one."""
    # What nearly all such texts are, without a regular expression.
    whole, point, part = text.lstrip("+-").partition(".")
    if not whole and not part.strip("."):
        return text  # the folder above, or an option
    if text.isascii() and whole.isdecimal() and text[1:2] not in ("+", "-"):
        if not point and whole[0] != "0":
            return int(text)
        if part.isdecimal():
            return float(text)
    if re.fullmatch(_FRACTIONAL, text):
        return _parse_float(text)
    if re.fullmatch(_WHOLE, text):
        return _parse_int(text)
    return Timestamp(text) if text[4:5] == "-" and re.fullmatch(_TIMESTAMP, text) else text


def _parse_float(text: str) -> float:
    digits = text.replace("_", "").lower()
    return float(digits.replace(".inf", "inf").replace(".nan", "nan"))


def _parse_int(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
    return sign * int(digits[2:] if base != 10 else digits, base)
