"""What DVC 3 accepts in a metafile. DVC refuses everything else, and so does capture.

The schemas mirror ``dvc.schema``. In a schema, a type stands for a value of that
type, a list for a list of such items, a dictionary for a mapping, a tuple for
alternatives, and a function for a check of its own. The key ``str`` stands for
any key, and ``_Required`` marks a key that must be there.
"""

from __future__ import annotations

from typing import Any

from mlflow_dvc_plugin.capturing.formats.yaml import Timestamp, load_yaml
from mlflow_dvc_plugin.errors import FormatError

_MIN_HASH = 3
_NONE = type(None)
_NAMES = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
    _NONE: "empty",
}


class _Required(str):
    """A key that must be there."""

    __slots__ = ()


def load_checked(data: bytes, schema: dict[Any, Any]) -> dict[str, Any]:
    """Load a metafile as YAML, or raise a FormatError if it does not match the schema."""
    content = load_yaml(data) or {}
    check(content, schema)
    return dict(content)


def check(value: Any, schema: Any, where: str = "") -> None:
    """Compare a value with a schema; the FormatError says `where`, as keys and indices."""
    if isinstance(schema, tuple):
        _check_alternatives(value, schema, where)
        return
    kind: type[Any] = schema if isinstance(schema, type) else type(schema)
    if kind not in _NAMES:
        schema(value, where)
        return
    # A timestamp is a string here, but not in DVC.
    if not isinstance(value, kind) or isinstance(value, Timestamp):
        raise FormatError(f"{where or 'it'} must be {_NAMES[kind]}", where)
    if isinstance(schema, list):
        for index, item in enumerate(value):
            if type(item) is not schema[0]:
                check(item, schema[0], f"{where}[{index}]")
    elif isinstance(schema, dict):
        _check_mapping(value, schema, where)


def _check_mapping(value: dict[Any, Any], schema: dict[Any, Any], where: str) -> None:
    any_key = schema.get(str)
    for key, item in value.items():
        expected = any_key or (schema.get(key) if isinstance(key, str) else None)
        # Most values need no more than this.
        if type(item) is expected and type(key) is str:
            continue
        name = f"{where}.{key}" if where else str(key)
        if expected is None:
            raise FormatError(f"DVC 3 does not accept the key {name}", name)
        if type(key) is not str:
            check(key, str, f"the key {key!r} of {where}")
        check(item, expected, name)
    for key in schema:
        if isinstance(key, _Required) and key not in value:
            raise FormatError(f"{where or 'it'} has no {key}", where)


def _check_alternatives(value: Any, schemas: tuple[Any, ...], where: str) -> None:
    failed = []
    for schema in schemas:
        error = _find_error(value, schema, where)
        if error is None:
            return
        failed.append(error)
    # The check that got furthest into the value says best what is wrong.
    best = max(failed, key=lambda err: len(err.where))
    if len(best.where) > len(where):
        raise best
    kinds = [each if isinstance(each, type) else type(each) for each in schemas]
    names = " or ".join(_NAMES[kind] for kind in kinds if kind is not _NONE)
    raise FormatError(f"{where or 'it'} must be {names}", where)


def _find_error(value: Any, schema: Any, where: str) -> FormatError | None:
    try:
        check(value, schema, where)
    except FormatError as err:
        return err
    return None


def _anything(value: Any, where: str) -> None:
    pass


def _hash(value: Any, where: str) -> None:
    if value is None or value is False or value == "":
        return
    if type(value) not in (str, int):
        raise FormatError(f"{where} must be a hash", where)
    if len(str(value)) < _MIN_HASH:
        raise FormatError(f"{where} must be a hash of at least {_MIN_HASH} characters", where)


def _cloud(value: Any, where: str) -> None:
    check(value, {str: {**_META, **_HASHES}}, where)
    if len(value) > 1:
        raise FormatError(f"{where} must have only one key", where)


def _version(value: Any, where: str) -> None:
    if value != "2.0":
        raise FormatError(f"{where} must be '2.0'", where)


def _stage(value: Any, where: str) -> None:
    is_foreach = isinstance(value, dict) and not {"foreach", "do"}.isdisjoint(value)
    check(value, _FOREACH if is_foreach else _STAGE, where)


_HASHES = {"md5": _hash, "checksum": _hash, "etag": _hash}
_META = {"size": int, "nfiles": int, "isexec": bool, "version_id": str}
_FILES = [{**_HASHES, **_META, "cloud": _cloud, _Required("relpath"): str}]
_ANNOTATION = {"desc": str, "type": str, "labels": [str], "meta": _anything}
_DATA = {
    **_HASHES,
    **_META,
    "path": str,
    "persist": bool,
    "cloud": _cloud,
    "hash": str,
    "files": _FILES,
    "fs_config": dict,
}
_OUT = {**_DATA, **_ANNOTATION, "cache": bool, "remote": str, "push": bool}
_REPO = {
    _Required("url"): str,
    "rev": str,
    "rev_lock": str,
    "config": (str, dict),
    "remote": (str, dict),
}
_DB = {"query": str, "connection": str, "file_format": str, "table": str}

DVCFILE = {
    "md5": _hash,
    "wdir": (str, _NONE),
    "deps": ([{**_DATA, "repo": _REPO, "db": _DB}], _NONE),
    "outs": ([_OUT], _NONE),
    "locked": bool,
    "frozen": bool,
    "meta": _anything,
    "always_changed": bool,
    "desc": str,
}

_LOCKED = {
    **_HASHES,
    **_META,
    _Required("path"): str,
    "cloud": _cloud,
    "files": _FILES,
    "hash": str,
    "dataset": dict,
}
LOCK = {
    _Required("schema"): _version,
    "datasets": _anything,
    "stages": {
        str: {
            _Required("cmd"): (str, list),
            "deps": [_LOCKED],
            "params": {str: {str: _anything}},
            "outs": [_LOCKED],
        }
    },
}

_OUT_FLAGS = {
    **_ANNOTATION,
    "cache": bool,
    "persist": bool,
    "checkpoint": bool,
    "remote": str,
    "push": bool,
}
_PLOT_LABELS = {"x_label": str, "y_label": str, "title": str, "template": str}
_PLOT_FLAGS = {**_OUT_FLAGS, **_PLOT_LABELS, "x": str, "y": str, "header": bool}
_STAGE_OUTS = [(str, {str: _OUT_FLAGS})]
_VARS = [(str, dict)]
_STAGE = {
    _Required("cmd"): (str, list),
    "matrix": {str: (str, list)},
    "wdir": str,
    "deps": [str],
    "params": _VARS,
    "vars": _VARS,
    "frozen": bool,
    "meta": _anything,
    "desc": str,
    "always_changed": bool,
    "outs": _STAGE_OUTS,
    "metrics": _STAGE_OUTS,
    "plots": [(str, {str: (_PLOT_FLAGS, [_PLOT_FLAGS])})],
}
_FOREACH = {_Required("foreach"): (str, list, dict), _Required("do"): _STAGE}
_PLOT = {"x": (str, {str: str}), "y": (str, [str], {str: (str, [str])}), **_PLOT_LABELS}
PIPELINE = {
    "datasets": _anything,
    "plots": [(str, {str: (_PLOT, _NONE)})],
    "stages": {str: _stage},
    "vars": _VARS,
    "params": [str],
    "metrics": [str],
    "artifacts": {str: {**_ANNOTATION, _Required("path"): str}},
}
