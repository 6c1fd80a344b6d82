"""A faster parser for large ``dvc.lock`` files in the form that DVC writes.

Regular expressions give the same values as
:mod:`mlflow_dvc_plugin.capturing.formats.yaml`, five times faster once they are compiled.
A stage that is not certainly of that form is left to the YAML parser, or else the whole file.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from mlflow_dvc_plugin.capturing.formats.schema import LOCK, load_checked
from mlflow_dvc_plugin.errors import FormatError

LockOuts = dict[str, list[dict[str, Any]]]

# Texts of letters alone that YAML does not read as strings.
_WORDS = frozenset(("null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"))
_HEAD = "schema: '2.0'\nstages:\n"
# A line that belongs to no stage, and an anchor, which another stage can use.
_NOT_IN_ONE_STAGE = r"\n ?[^ \n]|\s&\w"
_WORD = r"(?:[nN]ull|NULL|[tT]rue|TRUE|[fF]alse|FALSE)"
# A string without quotes: it is no such word, no number and no date (no number contains
# one of the letters that the second form requires), and has no character with a
# meaning in YAML.
_TEXT = (
    rf"(?:(?!{_WORD}[:\n])[A-Za-z_]|[0-9][0-9A-Fa-fOoXx_.=@+, -]*[G-NP-WYZg-np-wyz/]"
    r"|(?:\.[A-Za-z0-9_.=@+, -]*)?/)[A-Za-z0-9_./=@+, -]*(?<! )"
)
# 32 digits, or 31 with one `e`, would be a number.
_MD5 = r"(?=[0-9e]*[abcdf])[0-9a-f]{32}(?:\.dir)?"
_COUNT = r"[0-9]{1,18}"
# YAML limits a key to 1024 characters.
_REST = r"{0,999}"
# Either one line that is certainly a string, or a string in quotes, or one or more lines
# of any text, which the parser then checks.
_COMMAND = (
    rf'(?:(?!{_WORD}\n)(?:[A-Za-z_/][ -"$-9;-~]*)'
    r"|'[ -&(-~]*(?:\n {6}[!-&(-~][ -&(-~]*)*'"
    r"|([A-Za-z_./][^\n]*(?:\n {6,}[^ \n][^\n]*)*))\n"
)


def _optional(pattern: str) -> str:
    return f"(?:{pattern}|)"  # twice as fast as a question mark


def _record(indent: str) -> str:
    """What a ``dvc.lock`` records of a dep or out, in DVC's order or sorted by key."""
    # A path that makes the line too long follows on the next one.
    path = rf"path:(?: | ?\n  {indent}){_TEXT}\n"
    md5, size, nfiles = rf"md5: {_MD5}\n", rf"size: {_COUNT}\n", rf"nfiles: {_COUNT}\n"
    in_order = (
        path
        + _optional(rf"{indent}hash: md5\n")
        + rf"{indent}{md5}"
        + _optional(rf"{indent}{size}")
        + _optional(rf"{indent}{nfiles}")
        + _optional(rf"{indent}isexec: true\n")
    )
    by_key = (
        "hash: md5\n"
        + _optional(rf"{indent}isexec: true\n")
        + rf"{indent}{md5}"
        + _optional(rf"{indent}{nfiles}")
        + rf"{indent}{path}"
        + _optional(rf"{indent}{size}")
    )
    return rf"{indent[:-2]}- (?:{in_order}|{by_key})"


@cache
def _compile_stage() -> re.Pattern[str]:
    """A stage in a ``dvc.lock``, whose params are not checked."""
    record = _record("      ")
    return re.compile(
        rf"  ([A-Za-z_][A-Za-z0-9_.@-]{_REST}):\n    cmd: {_COMMAND}"
        + _optional(rf"    deps:\n(?:{record})+")
        + _optional(r"    params:\n((?:      [^\n]*\n)+)")
        + _optional(rf"    outs:\n((?:{record})+)")
        + r"(?=  \S|\Z)",
        re.ASCII,
    )


def parse_lock_outs(data: bytes) -> LockOuts | None:
    """Parse the records of each stage's outs; None if the whole file needs the YAML parser."""
    text = _decode(data)
    if text is None or not text.startswith(_HEAD):
        return None
    found: LockOuts = {}
    checked: dict[str, bool] = {}  # many stages can have the same params
    start, end = len(_HEAD), len(text)
    match_at = _compile_stage().match
    while start < end:
        match = match_at(text, start)
        outs = _read_outs(match, checked) if match else None
        if match and outs is not None:
            name = match[1]
            start = match.end()
        else:
            following = re.compile(r"\n(?=  \S)").search(text, start)
            until = following.end() if following else end
            stage = _parse_stage_as_yaml(text[start:until])
            if stage is None:
                return None
            name, outs = stage
            start = until
        if name in found or name in _WORDS:
            return None
        found[name] = outs
    return found or None


def _read_outs(match: re.Match[str], checked: dict[str, bool]) -> list[dict[str, Any]] | None:
    _, command, params, outs = match.groups()
    if command is not None and not _is_text(command):
        return None
    if params is not None and not _check_params(params, checked):
        return None
    return _read_records(outs) if outs else []


def _parse_stage_as_yaml(block: str) -> tuple[str, list[dict[str, Any]]] | None:
    """Name and outs of a stage of another form; None if it is not a stage by itself."""
    if not re.match(r"  \S", block) or re.search(_NOT_IN_ONE_STAGE, block):
        return None
    try:
        content = load_checked((_HEAD + block).encode(), LOCK)
    except FormatError:
        return None
    stages = content["stages"]
    if len(stages) != 1:
        return None
    ((name, stage),) = stages.items()
    return name, stage.get("outs", [])


def _check_params(params: str, checked: dict[str, bool]) -> bool:
    """Does DVC accept the params of a stage? `checked` has earlier answers, for each file too."""
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
        checked[text] = _parse_stage_as_yaml(stage) is not None
    return checked[text]


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


def _is_text(value: str) -> bool:
    """Does YAML read a value that starts with a letter, `.`, `/` or `_` as one string?"""
    if value in _WORDS or (value[0] == "." and "/" not in value):
        return False
    if ": " in value or " #" in value or value[-1] == ":" or ":\n" in value:
        return False
    line = value.replace("\n", "") if "\n" in value else value
    return line.isascii() and line.isprintable()
