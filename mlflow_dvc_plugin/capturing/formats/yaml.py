"""YAML text as DVC reads it: YAML 1.2, typed as ruamel.yaml's safe loader types it.

PyYAML's own constructors follow YAML 1.1, where a file named ``no`` or
``12:30:45`` is no text. So only its parser is used, and its events are turned
into values here: in one loop, so that no nesting can exhaust the stack, with
bounds on what aliases may expand to.
"""

from __future__ import annotations

import re
from typing import Any

from mlflow_dvc_plugin.capturing.formats.errors import DocumentError

__all__ = ["DocumentError", "Timestamp", "load", "plain"]

MAX_DEPTH = 100
# Values that aliases stand for, all together.
MAX_ALIASED = 500_000

_TAG = "tag:yaml.org,2002:"
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {w: w[0] in "tT" for w in ("true", "True", "TRUE", "false", "False", "FALSE")}
# Every scalar that is not a text begins with one of these.
_TYPED = frozenset("+-.0123456789~nNtTfF=")
_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)")
_FLOAT = re.compile(
    r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN)"
)
# Line breaks in YAML 1.1, hence to PyYAML, but letters to DVC.
_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9][0-9])?))?"
)


class Timestamp(str):
    """A date or time, which DVC does not take for a text."""

    __slots__ = ()


_MERGE = object()  # `<<`, and
_VALUE = object()  # `=`, which ruamel.yaml takes as keys only


def load(data: bytes) -> Any:
    """The one document in `data`, as plain values.

    Raises:
        DocumentError: it is not UTF-8, no valid YAML, has more than one
            document, a duplicate key, an unknown tag, or is nested too deep.
    """
    import yaml

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as err:
        raise DocumentError("it is not UTF-8") from err
    if _LINE_BREAKS.search(text):
        raise DocumentError("it has a line break that YAML 1.2 does not know, such as U+2028")
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
        raise DocumentError(f"it is no valid YAML{where}") from err
    except (ValueError, OverflowError, RecursionError, MemoryError) as err:
        raise DocumentError("it is no valid YAML") from err


class _Builder:
    """Turns parser events into values, with a stack of its own."""

    def __init__(self, yaml: Any) -> None:
        self.scalar = yaml.ScalarEvent
        self.alias = yaml.AliasEvent
        self.mapping_start = yaml.MappingStartEvent
        self.sequence_start = yaml.SequenceStartEvent
        self.ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
        self.document_start = yaml.DocumentStartEvent
        # Each anchor's value with its size after expansion.
        self.anchors: dict[str, tuple[Any, int]] = {}

    def build(self, parser: Any) -> Any:  # noqa: C901, PLR0912, PLR0915
        # Frames: [container, pending key or None, has key, anchor, size, merges]
        stack: list[list[Any]] = []
        root: Any = None
        documents = aliased = 0
        get_event = parser.get_event
        while True:
            event = get_event()
            if event is None:
                return root
            kind = type(event)
            if kind is self.scalar:
                value = _scalar(event)
                size = 1
                if event.anchor:
                    self.anchors[event.anchor] = (value, 1)
            elif kind is self.mapping_start or kind is self.sequence_start:
                if len(stack) >= MAX_DEPTH:
                    raise DocumentError(f"it is nested deeper than {MAX_DEPTH} levels")
                wanted = "map" if kind is self.mapping_start else "seq"
                if event.tag not in (None, "!", _TAG + wanted):
                    raise DocumentError(f"it has a YAML tag that DVC does not know: {event.tag}")
                if event.anchor:
                    # An alias to what is not complete yet is refused.
                    self.anchors.pop(event.anchor, None)
                new: Any = {} if kind is self.mapping_start else []
                stack.append([new, None, False, event.anchor, 1, None])
                continue
            elif kind in self.ends:
                container, _, _, anchor, size, merges = stack.pop()
                if merges:
                    _merge(container, merges)
                value = container
                if anchor:
                    self.anchors[anchor] = (value, size)
            elif kind is self.alias:
                if event.anchor not in self.anchors:
                    raise DocumentError(f"it has an alias without an anchor: {event.anchor}")
                value, size = self.anchors[event.anchor]
                aliased += size
                if aliased > MAX_ALIASED:
                    raise DocumentError("its aliases expand to too many values")
            elif kind is self.document_start:
                documents += 1
                if documents > 1:
                    raise DocumentError("it has more than one YAML document")
                if event.version and tuple(event.version) != (1, 2):
                    raise DocumentError("it asks for another YAML version than 1.2")
                continue
            else:
                continue
            if not stack:
                root = _item(value)
                continue
            frame = stack[-1]
            frame[4] += size
            _put(frame, value)


def _put(frame: list[Any], value: Any) -> None:
    container = frame[0]
    if type(container) is list:
        container.append(_item(value))
    elif not frame[2]:
        frame[1], frame[2] = _key(value), True
    else:
        key, frame[2] = frame[1], False
        value = _item(value)
        if key is _MERGE:
            parts = value if isinstance(value, list) else [value]
            if not all(isinstance(part, dict) for part in parts):
                raise DocumentError("it merges something that is no mapping")
            frame[5] = parts if frame[5] is None else frame[5] + parts
            return
        if key in container:
            raise DocumentError(f"it has the key {key!r} twice")
        container[key] = value


def _item(value: Any) -> Any:
    if value is _MERGE or value is _VALUE:
        raise DocumentError("it has a bare << or = for a value")
    return value


def _key(value: Any) -> Any:
    if value is _VALUE:
        return "="
    if isinstance(value, list):
        return tuple(map(_key, value))
    if isinstance(value, dict):
        raise DocumentError("it has a key that is a mapping")
    return value


def _merge(container: dict[Any, Any], parts: list[dict[Any, Any]]) -> None:
    for part in parts:
        for key, value in part.items():
            container.setdefault(key, value)


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.implicit[0]:  # plain, without a tag
        if "\t" in text:
            raise DocumentError("it has a tab in a text without quotes")
        if text and text[0] not in _TYPED:
            return _MERGE if text == "<<" else text
        return _VALUE if text == "=" else plain(text)
    tag = event.tag
    if tag == "!" and not text and not event.style:
        return None
    if tag is None or tag in ("!", _TAG + "str"):
        return text
    if tag.startswith(_TAG):
        if tag == f"{_TAG}float":
            return _float(text)
        value = plain(text)
        name = {type(None): "null", bool: "bool", int: "int"}.get(type(value))
        if tag == f"{_TAG}{name}":
            return value
    raise DocumentError(f"it has a YAML tag that DVC does not know: {tag}")


def plain(text: str) -> Any:
    """The value of a plain scalar in YAML 1.2, as ruamel.yaml resolves it."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _INT.fullmatch(text):
        return _int(text)
    if _TIMESTAMP.fullmatch(text):
        return Timestamp(text)
    return text


def _float(text: str) -> float:
    digits = text.replace("_", "").lower()
    return float(digits.replace(".inf", "inf").replace(".nan", "nan"))


def _int(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
    return sign * int(digits[2:] if base != 10 else digits, base)
