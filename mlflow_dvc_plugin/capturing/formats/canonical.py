"""Metafiles in the plain form that DVC writes and most people do, read at once.

What is of exactly that form needs no YAML parser: regular expressions give the
very values that :mod:`mlflow_dvc_plugin.capturing.formats.yaml` would, a hundred times
faster. Whatever is not, or not surely, is left to it: one stage of a file by
itself where that cannot change its meaning, else the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mlflow_dvc_plugin.capturing.formats import grammar as patterns
from mlflow_dvc_plugin.capturing.formats.errors import DocumentError, SchemaError

# All texts of letters alone that are none.
_WORDS = frozenset(("null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"))
_PAIR = r"(\w+): ([^\n]+)\n"
# A line that does not belong to any stage, and anchors, which may be used in another.
_FOREIGN = r"\n ?[^ \n]|\s&\w"


def dvcfile(data: bytes) -> dict[str, Any] | None:
    """What capture reads of a ``.dvc`` file; None if it is not of the plain form."""
    text = _decoded(data)
    match = patterns.dvcfile().fullmatch(text) if text else None
    if match is None:
        return None
    wdir, fields = match.groups()
    pairs = re.findall(_PAIR, fields, re.ASCII)
    out = {key: _typed(key, value) for key, value in pairs}
    if len(out) != len(pairs):
        return None
    return {"outs": [out]} if wdir is None else {"wdir": wdir, "outs": [out]}


def _typed(key: str, value: str) -> str | int | bool:
    if key in ("size", "nfiles"):
        return int(value)
    return value if key in ("md5", "hash", "path") else value == "true"


def records(data: bytes, patience: int | None = None) -> dict[str, list[dict[str, Any]]] | None:
    """What a ``dvc.lock`` records of each stage's outs.

    Args:
        data: its bytes.
        patience: how many stages may need a YAML parser, any number by default.

    Returns:
        None if it is not of the plain form.
    """
    sound: set[str] = set()  # params that many stages share

    def outs(match: re.Match[str]) -> list[dict[str, Any]] | None:
        _, _, command, params, *first, more = match.groups()
        if command is not None and not _is_text(command):
            return None
        if params is not None and params not in sound:
            keys = patterns.param_key().findall(params)
            if len(set(keys)) != len(keys) or not _WORDS.isdisjoint(keys):
                return None
            sound.add(params)
        found = [_record(first)] if first[0] else []
        return found + [_record(each) for each in patterns.out().findall(more)] if more else found

    head = "schema: '2.0'\nstages:\n"
    return _stages(
        data, head, patterns.locked(), outs, kind="lockfile", of_stage=_outs, patience=patience
    )


def pipeline(data: bytes, patience: int | None = None) -> dict[str, Any] | None:
    """The content of a ``dvc.yaml``, with commands only where there are templates.

    Args:
        data: its bytes.
        patience: how many stages may need a YAML parser, any number by default.

    Returns:
        None if it is not of the plain form.
    """
    stage = partial(_defined, b"${" in data, {})
    stages = _stages(
        data,
        "stages:\n",
        patterns.defined(),
        stage,
        kind="pipeline",
        of_stage=dict,
        patience=patience,
    )
    return None if stages is None else {"stages": stages}


def _defined(
    templates: bool, shared: dict[str, list[Any]], match: re.Match[str]
) -> dict[str, Any] | None:
    """A stage's definition, with params of those that many stages share."""
    _, line, command, wdir, deps, params, outs, metrics, plots = match.groups()
    if line is None and not _is_text(command):
        return None
    found: dict[str, Any] = {}
    if templates:
        found["cmd"] = re.sub(r" *\n *", " ", line or command).rstrip(" ")
    try:
        if wdir:
            found["wdir"] = wdir
        if deps:
            found["deps"] = _items(deps)
        if params:
            found["params"] = shared.get(params) or shared.setdefault(params, _items(params))
        if outs:
            found["outs"] = _items(outs)
        if metrics:
            found["metrics"] = _items(metrics)
        if plots:
            found["plots"] = _items(plots)
    except ValueError:
        return None
    return found


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
    of_match: Callable[[re.Match[str]], Any],
    *,
    kind: str,
    of_stage: Callable[[dict[str, Any]], Any],
    patience: int | None,
) -> dict[str, Any] | None:
    """What is wanted of each stage: from a match of its form, else from its values."""
    text = _decoded(data)
    if text is None or not text.startswith(head):
        return None
    found: dict[str, Any] = {}
    at, end = len(head), len(text)
    if at == end:
        return None
    match_at = form.match
    while at < end:
        match = match_at(text, at)
        value = of_match(match) if match else None
        if match and value is not None:
            name = match[1]
            at = match.end()
        elif patience == 0:
            return None
        else:
            patience = patience - 1 if patience else None
            following = re.compile(r"\n(?=  \S)").search(text, at)
            until = following.end() if following else end
            alone = _alone(text[at:until], head, kind)
            if alone is None:
                return None
            name, value, at = alone[0], of_stage(alone[1]), until
        if name in found or name in _WORDS:
            return None
        found[name] = value
    return found


def _alone(block: str, head: str, kind: str) -> tuple[str, dict[str, Any]] | None:
    """A stage that is not of the plain form; None if it cannot be read by itself."""
    if not re.match(r"  \S", block) or re.search(_FOREIGN, block):
        return None
    from mlflow_dvc_plugin.capturing.formats import schema
    from mlflow_dvc_plugin.capturing.formats.yaml import load

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


def _outs(stage: dict[str, Any]) -> list[dict[str, Any]]:
    outs: list[dict[str, Any]] = stage.get("outs", [])
    return outs


def _record(fields: Sequence[str]) -> dict[str, Any]:
    path, hash_name, md5, size, nfiles, isexec = fields
    found: dict[str, Any] = {"path": path, "md5": md5}
    if hash_name:
        found["hash"] = "md5"
    if size:
        found["size"] = int(size)
    if nfiles:
        found["nfiles"] = int(nfiles)
    if isexec:
        found["isexec"] = True
    return found


def _items(text: str) -> list[Any]:
    """The items of a list.

    Raises:
        ValueError: YAML would see something else, since its lines are not in line.
    """
    dash = "\n    - " if text[4] == "-" else "\n     - " if text[5] == "-" else "\n      - "
    items: list[Any]
    if ":" not in text:
        items = text[len(dash) - 1 : -1].split(dash)
        if len(items) != text.count("\n"):
            raise ValueError
        return items
    items = []
    indent = dash[1:-2]
    for before, path, flagged, flags in patterns.item().findall(text):
        pairs = re.findall(_PAIR, flags, re.ASCII)
        values = {key: value == "true" for key, value in pairs}
        written = "".join([f"{indent}    {key}: {value}\n" for key, value in pairs])
        in_line = before == indent and written == flags
        if not in_line or len(values) != len(pairs) or len(path) > patterns.LONGEST_KEY:
            raise ValueError
        items.append({path: values} if flagged else path)
    return items


def _is_text(value: str) -> bool:
    """Is what stands after a key, without quotes and begun by a letter or so, one text?"""
    if value in _WORDS or (value[0] == "." and "/" not in value):
        return False
    if ": " in value or " #" in value or value[-1] == ":" or ":\n" in value:
        return False
    line = value.replace("\n", "") if "\n" in value else value
    return line.isascii() and line.isprintable()
