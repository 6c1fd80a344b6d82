"""Metafiles in the plain form that DVC writes and most people do, read at once.

What is of exactly that form needs no YAML parser: regular expressions give the
very values that :mod:`mlflow_dvc_plugin.capture.document` would, a hundred times
faster. Whatever is not, or not surely, is left to it: one stage of a file by
itself where that cannot change its meaning, else the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mlflow_dvc_plugin.capture.refused import DocumentError, SchemaError

# A text without quotes that is neither a number, a date, nor a word such as
# `null`, and has nothing in it that means something to YAML.
_TEXT = (
    r"(?:(?!(?:[nN]ull|NULL|[tT]rue|TRUE|[fF]alse|FALSE)[:\n])(?=[A-Za-z_])|(?=[^\n/]*/))"
    r"[A-Za-z0-9_./][A-Za-z0-9_./=@+,-]*(?: [A-Za-z0-9_./=@+,-]+)*"
)
# 32 digits with one `e` among them, or none, would be a number.
_MD5 = r"(?=[0-9e]*[abcdf])[0-9a-f]{32}(?:\.dir)?"
_COUNT = r"[0-9]{1,18}"
_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
# One line, or several of a folded text; what is in them is looked at afterwards.
_COMMAND = r"[A-Za-z_./][^\n]*(?:\n {6,}[^ \n][^\n]*)*"


def _record(indent: str) -> str:
    return (
        rf"{indent}- path: ({_TEXT})\n(?:{indent}  hash: (md5)\n)?{indent}  md5: ({_MD5})\n"
        rf"(?:{indent}  size: ({_COUNT})\n)?(?:{indent}  nfiles: ({_COUNT})\n)?"
        rf"(?:{indent}  isexec: (true)\n)?"
    )


def _uncaptured(pattern: str) -> str:
    return re.sub(r"\((?!\?)", "(?:", pattern)


_OUT = re.compile(_record("    "), re.ASCII)
_RECORDS = rf"(?:{_uncaptured(_record('    '))})+"
_VALUE = r"(?:[A-Za-z][A-Za-z0-9_./-]*|-?\d{1,15}(?:\.\d{1,15})?(?:e-?\d{1,3})?)"
_PARAM_KEY = r"[A-Za-z_][A-Za-z0-9_./-]*"
_PARAMS = (
    rf"(?:      {_PARAM_KEY}:\n"
    rf"(?:        {_PARAM_KEY}:(?: {_VALUE}\n|\n(?:        - {_VALUE}\n)+))+)+"
)
_KEY = re.compile(rf"^ +({_PARAM_KEY}):", re.ASCII | re.MULTILINE)
_LOCKED = re.compile(
    rf"  ([A-Za-z_][A-Za-z0-9_.@-]*):\n    cmd: ({_COMMAND})\n(?:    deps:\n{_RECORDS})?"
    rf"(?:    params:\n({_PARAMS}))?(?:    outs:\n({_RECORDS}))?(?=  \S|\Z)",
    re.ASCII,
)

_FLAG = r"(?:cache|persist|push): (?:true|false)\n"


def _items(indent: str, flags: bool) -> str:
    flagged = rf"(?::\n(?:{indent}    {_FLAG})+|\n)" if flags else r"\n"
    return rf"(?:{indent}- {_TEXT}{flagged})+"


def _section(name: str, flags: bool = False) -> str:
    return rf"(?:    {name}:\n({_items('    ', flags)}|{_items('      ', flags)}))?"


_DEFINED = re.compile(
    rf"  ({_NAME}):\n    cmd: ({_COMMAND})\n(?:    wdir: ({_TEXT})\n)?"
    + _section("deps")
    + _section("params")
    + _section("outs", flags=True)
    + _section("metrics", flags=True)
    + _section("plots", flags=True)
    + r"\n*(?=  \S|\Z)",
    re.ASCII,
)
_SECTIONS = ("deps", "params", "outs", "metrics", "plots")
_ITEM = re.compile(rf" +- ({_TEXT})(:?)\n((?: +{_FLAG})*)", re.ASCII)

_FIELD = (
    rf"(?:md5: {_MD5}|size: {_COUNT}|nfiles: {_COUNT}|hash: md5|path: {_TEXT}"
    r"|(?:isexec|cache|push|persist): (?:true|false))\n"
)
_DVCFILE = re.compile(
    rf"(?:md5: {_MD5}\n)?(?:wdir: ({_TEXT})\n)?"
    rf"outs:\n- ({_FIELD}(?:  {_FIELD})*)(?:md5: {_MD5}\n)?",
    re.ASCII,
)
_PAIR = re.compile(r"(\w+): ([^\n]+)\n", re.ASCII)

_NEXT = re.compile(r"\n(?=  \S)")
# A line that does not belong to any stage, and anchors, which may be used in another.
_FOREIGN = re.compile(r"\n ?[^ \n]|\s&\w")


# All texts of letters alone that are none.
_WORDS = frozenset(("null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"))


def dvcfile(data: bytes) -> dict[str, Any] | None:
    """What capture reads of a ``.dvc`` file; None if it is not of the plain form."""
    text = _decoded(data)
    match = _DVCFILE.fullmatch(text) if text else None
    if match is None:
        return None
    wdir, fields = match.groups()
    pairs = _PAIR.findall(fields)
    out = {key: _typed(key, value) for key, value in pairs}
    if len(out) != len(pairs):
        return None
    return {"outs": [out]} if wdir is None else {"wdir": wdir, "outs": [out]}


def _typed(key: str, value: str) -> str | int | bool:
    if key in ("size", "nfiles"):
        return int(value)
    return value if key in ("md5", "hash", "path") else value == "true"


def locked(data: bytes) -> dict[str, dict[str, Any]] | None:
    """What a ``dvc.lock`` records of each stage, of which only the outs are sure to be given.

    None if it is not of the plain form.
    """
    return _stages(data, "schema: '2.0'\nstages:\n", _LOCKED, _locked_stage, "lockfile")


def pipeline(data: bytes) -> dict[str, Any] | None:
    """The content of a ``dvc.yaml``; None if it is not of the plain form."""
    stages = _stages(data, "stages:\n", _DEFINED, _defined_stage, "pipeline")
    return None if stages is None else {"stages": stages}


def _decoded(data: bytes) -> str | None:
    """The text, with LF line ends; None if there are characters that YAML may not take."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            return None
    return text


def _stages(
    data: bytes,
    head: str,
    form: re.Pattern[str],
    of_match: Callable[[re.Match[str]], dict[str, Any] | None],
    kind: str,
) -> dict[str, dict[str, Any]] | None:
    text = _decoded(data)
    if text is None or not text.startswith(head):
        return None
    found: dict[str, dict[str, Any]] = {}
    at, end = len(head), len(text)
    if at == end:
        return None
    match_at = form.match
    while at < end:
        match = match_at(text, at)
        stage = of_match(match) if match else None
        if match and stage is not None:
            name = match.group(1)
            at = match.end()
        else:
            following = _NEXT.search(text, at)
            until = following.end() if following else end
            alone = _alone(text[at:until], head, kind)
            if alone is None:
                return None
            (name, stage), at = alone, until
        if name in found or name in _WORDS:
            return None
        found[name] = stage
    return found


def _alone(block: str, head: str, kind: str) -> tuple[str, dict[str, Any]] | None:
    """A stage that is not of the plain form; None if it cannot be read by itself."""
    if not re.match(r"  \S", block) or _FOREIGN.search(block):
        return None
    from mlflow_dvc_plugin.capture import schema
    from mlflow_dvc_plugin.capture.document import load

    try:
        content = load((head + block).encode())
        getattr(schema, kind)(content, "")
    except (DocumentError, SchemaError):
        return None
    stages = content["stages"]
    if len(stages) != 1:
        return None
    ((name, stage),) = stages.items()
    return name, stage


def _locked_stage(match: re.Match[str]) -> dict[str, Any] | None:
    _, command, params, outs = match.groups()
    if not _is_text(command):
        return None
    if params is not None:
        keys = _KEY.findall(params)
        if len(set(keys)) != len(keys) or not _WORDS.isdisjoint(keys):
            return None
    if outs is None:
        return {}
    return {"outs": [_values(fields) for fields in _OUT.findall(outs)]}


def _values(fields: tuple[str, ...]) -> dict[str, Any]:
    path, hash_name, md5, size, nfiles, isexec = fields
    values: dict[str, Any] = {"path": path, "md5": md5}
    if hash_name:
        values["hash"] = hash_name
    if size:
        values["size"] = int(size)
    if nfiles:
        values["nfiles"] = int(nfiles)
    if isexec:
        values["isexec"] = True
    return values


def _defined_stage(match: re.Match[str]) -> dict[str, Any] | None:
    _, command, wdir, *sections = match.groups()
    if not _is_text(command):
        return None
    if "\n" in command:
        command = re.sub(r" *\n *", " ", command)
    stage: dict[str, Any] = {"cmd": command.rstrip(" ")}
    if wdir is not None:
        stage["wdir"] = wdir
    for name, text in zip(_SECTIONS, sections, strict=True):
        if text is None:
            continue
        items = stage[name] = []
        for path, flagged, flags in _ITEM.findall(text):
            if not flagged:
                items.append(path)
                continue
            pairs = _PAIR.findall(flags)
            values = {key: value == "true" for key, value in pairs}
            if len(values) != len(pairs):
                return None
            items.append({path: values})
    return stage


def _is_text(value: str) -> bool:
    """Is what stands after a key, without quotes and begun by a letter or so, one text?"""
    if value in _WORDS or (value[0] == "." and "/" not in value):
        return False
    if ": " in value or " #" in value or value[-1] == ":" or ":\n" in value:
        return False
    line = value.replace("\n", "") if "\n" in value else value
    return line.isascii() and line.isprintable()
