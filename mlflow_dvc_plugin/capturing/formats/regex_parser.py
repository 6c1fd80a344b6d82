"""A fast parser for large pipelines in the form that DVC writes.

Files of exactly that form need no YAML parser: regular expressions give the same
values as :mod:`mlflow_dvc_plugin.capturing.formats.yaml`, ten times faster once they are
compiled, which takes some milliseconds.
Everything that is not certainly of that form is left to the YAML parser: a single
stage where that cannot change its meaning, or else the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mlflow_dvc_plugin.capturing.formats import regexes
from mlflow_dvc_plugin.capturing.formats.schema import LOCK, PIPELINE, load_checked
from mlflow_dvc_plugin.errors import FormatError
from mlflow_dvc_plugin.named_tuple import NamedTuple

# Texts of letters alone that YAML does not read as strings.
_WORDS = frozenset(("null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"))
# With more stages of another form, the YAML parser is faster for the whole file.
_MAX_OTHERS = 8
_PAIR = r"(\w+): ([^\n]+)\n"
# A line that belongs to no stage, and an anchor, which another stage can use.
_NOT_IN_ONE_STAGE = r"\n ?[^ \n]|\s&\w"


class _Kind(NamedTuple):
    """A kind of file with stages."""

    head: str  # its first lines
    compile_stage: Callable[[], re.Pattern[str]]
    schema: dict[Any, Any]
    convert: Callable[[dict[str, Any]], Any]  # what capture needs of a stage in YAML


_LOCK = _Kind(
    "schema: '2.0'\nstages:\n",
    regexes.compile_lock_stage,
    LOCK,
    lambda stage: stage.get("outs", []),
)
_PIPELINE = _Kind("stages:\n", regexes.compile_stage, PIPELINE, dict)


def parse_lock_outs(data: bytes) -> dict[str, list[dict[str, Any]]] | None:
    """Parse the records of each stage's outs in a ``dvc.lock``; None if not possible."""
    checked: dict[str, bool] = {}  # many stages can have the same params

    def read_outs(match: re.Match[str]) -> list[dict[str, Any]] | None:
        _, _, command, params, outs = match.groups()
        if command is not None and not _is_text(command):
            return None
        if params is not None and not _check_params(params, checked):
            return None
        return _read_records(outs) if outs else []

    return _parse_stages(data, _LOCK, read_outs)


def parse_pipeline(data: bytes) -> dict[str, Any] | None:
    """Parse a ``dvc.yaml``, with commands only if it has templates; None if not possible."""
    read = partial(_read_definition, b"${" in data, {})
    stages = _parse_stages(data, _PIPELINE, read)
    return None if stages is None else {"stages": stages}


def _read_definition(
    has_templates: bool, shared: dict[str, list[Any]], match: re.Match[str]
) -> dict[str, Any] | None:
    """The definition of a stage; `shared` has params, which many stages can have in common."""
    _, line, command, wdir, deps, params, outs, metrics, plots = match.groups()
    if line is None and (command[0] == "'" or not _is_text(command)):
        return None
    found: dict[str, Any] = {}
    if has_templates:
        found["cmd"] = re.sub(r" *\n *", " ", line or command).rstrip(" ")
    try:
        if wdir:
            found["wdir"] = wdir
        if deps:
            found["deps"] = _read_items(deps)
        if params:
            found["params"] = shared.get(params) or shared.setdefault(params, _read_items(params))
        if outs:
            found["outs"] = _read_items(outs)
        if metrics:
            found["metrics"] = _read_items(metrics)
        if plots:
            found["plots"] = _read_items(plots)
    except ValueError:
        return None
    return found


def _check_params(params: str, checked: dict[str, bool]) -> bool:
    """Does DVC accept the params of a stage in a ``dvc.lock``? `checked` has earlier answers."""
    if params not in checked:
        files = re.split(r"(?m)^(?=      [^ ])", params)[1:]
        names = [text.partition("\n")[0] for text in files]
        checked[params] = (
            "".join(files) == params
            and len(set(names)) == len(names)
            and all(_check_params_of_file(text, checked) for text in files)
        )
    return checked[params]


def _check_params_of_file(text: str, checked: dict[str, bool]) -> bool:
    if text not in checked:
        stage = f"  s:\n    cmd: x\n    params:\n{text}"
        name = regexes.compile_param_line().match(text)
        checked[text] = name is not None and (
            _is_simple_block(text) or _parse_stage_as_yaml(stage, _LOCK) is not None
        )
    return checked[text]


def _is_simple_block(text: str) -> bool:
    """Is this certainly a valid map of one map, with each value on a single line?"""
    lines = regexes.compile_param_line().findall(text)
    if len(lines) != text.count("\n") or not all(dash or key for _, dash, key, _ in lines):
        return False
    # An item of a list, or a key of a map: indent, name of the key, and whether its
    # value follows.
    parts: list[tuple[int, str | None, bool]] = []
    for spaces, dash, key, value in lines:
        if dash:
            parts.append((len(spaces), None, bool(key)))
        if key:
            parts.append((len(spaces) + len(dash), key, not value))
    is_map_of_map = len(parts) > 1 and all(name and is_open for _, name, is_open in parts[:1])
    return is_map_of_map and parts[1][1] is not None and _is_nested_well(parts)


def _is_nested_well(parts: Sequence[tuple[int, str | None, bool]]) -> bool:
    """Do the indents and keys of a block make sense to YAML, and to DVC?"""
    # The collections that a part is in: indent, and the keys so far; None for a list.
    levels: list[tuple[int, set[str] | None]] = []
    can_open = True
    for indent, name, is_open in parts:
        while levels and (
            levels[-1][0] > indent or (name is not None and levels[-1] == (indent, None))
        ):
            levels.pop()
        # A list may have the indent of its key.
        if not levels or levels[-1][0] < indent or (name is None and levels[-1][1] is not None):
            if not can_open:
                return False
            levels.append((indent, None if name is None else set()))
        keys = levels[-1][1]
        if name is not None and keys is not None:
            # DVC wants text for the names of files and params.
            is_number = len(levels) <= 2 and name[0] in "-0123456789"
            if name in keys or name in _WORDS or is_number:
                return False
            keys.add(name)
        can_open = is_open
    return True


def _decode(data: bytes) -> str | None:
    """The text, with LF line ends; None if YAML may not accept a character."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            return None
    return text


def _parse_stages(
    data: bytes, kind: _Kind, read: Callable[[re.Match[str]], Any]
) -> dict[str, Any] | None:
    """What `read` returns for each stage, by name; None if the whole file needs the YAML parser."""
    text = _decode(data)
    if text is None or not text.startswith(kind.head):
        return None
    stages: dict[str, Any] = {}
    others = 0  # stages of another form
    start, end = len(kind.head), len(text)
    if start == end:
        return None
    match_at = kind.compile_stage().match
    while start < end:
        match = match_at(text, start)
        value = read(match) if match else None
        if match and value is not None:
            name = match[1]
            start = match.end()
        else:
            others += 1
            if others > _MAX_OTHERS and others > len(stages) // 4:
                return None
            following = re.compile(r"\n(?=  \S)").search(text, start)
            until = following.end() if following else end
            parsed = _parse_stage_as_yaml(text[start:until], kind)
            if parsed is None:
                return None
            name, value, start = *parsed, until
        if name in stages or name in _WORDS:
            return None
        stages[name] = value
    return stages


def _parse_stage_as_yaml(block: str, kind: _Kind) -> tuple[str, Any] | None:
    """Name and value of a stage of another form; None if it is not a stage by itself."""
    if not re.match(r"  \S", block) or re.search(_NOT_IN_ONE_STAGE, block):
        return None
    try:
        content = load_checked((kind.head + block).encode(), kind.schema)
    except FormatError:
        return None
    stages = content["stages"]
    if len(stages) != 1:
        return None
    ((name, stage),) = stages.items()
    return name, kind.convert(stage)


def _to_value(key: str, value: str) -> str | int | bool:
    if key in ("size", "nfiles"):
        return int(value)
    return value if key in ("md5", "hash", "path") else value == "true"


def _read_records(text: str) -> list[dict[str, Any]]:
    """What a ``dvc.lock`` records of outs."""
    if "\n        " in text:
        text = re.sub(r": ?\n {8}", ": ", text)
    records = []
    for record in text.split("    - ")[1:]:
        pairs = [line.split(": ") for line in record[:-1].split("\n      ")]
        records.append({key: _to_value(key, value) for key, value in pairs})
    return records


def _read_items(text: str) -> list[Any]:
    """The items of a list; a ValueError if YAML would read something else by the indentation."""
    dash = "\n    - " if text[4] == "-" else "\n     - " if text[5] == "-" else "\n      - "
    items: list[Any]
    if ":" not in text:
        items = text[len(dash) - 1 : -1].split(dash)
        if len(items) != text.count("\n"):
            raise ValueError
        return items
    items = []
    indent = dash[1:-2]
    for before, path, has_flags, flags in regexes.compile_item().findall(text):
        pairs = re.findall(_PAIR, flags, re.ASCII)
        values = {key: value == "true" for key, value in pairs}
        aligned = "".join([f"{indent}    {key}: {value}\n" for key, value in pairs])
        is_aligned = before == indent and aligned == flags
        if not is_aligned or len(values) != len(pairs) or len(path) > regexes.MAX_KEY:
            raise ValueError
        items.append({path: values} if has_flags else path)
    return items


def _is_text(value: str) -> bool:
    """Does YAML read a value that starts with a letter, `.`, `/`, `_` or a quote as one string?"""
    if value[0] == "'":  # the regular expression has no doubt
        return True
    if value in _WORDS or (value[0] == "." and "/" not in value):
        return False
    if ": " in value or " #" in value or value[-1] == ":" or ":\n" in value:
        return False
    line = value.replace("\n", "") if "\n" in value else value
    return line.isascii() and line.isprintable()
