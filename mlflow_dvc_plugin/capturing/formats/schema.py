"""What DVC 3 accepts in a metafile. DVC refuses everything else, and so does capture.

This mirrors ``dvc.schema``: a check takes a value and its place in the file, and
raises :class:`FormatError` where DVC would refuse the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow_dvc_plugin.capturing.formats.yaml import Timestamp
from mlflow_dvc_plugin.errors import FormatError

Check = Callable[[Any, str], None]

_MIN_HASH = 3


def _fail(where: str, expected: str) -> None:
    raise FormatError(f"{where or 'it'} must be {expected}", where)


def _is_a(expected: str, *types: type) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, types) or isinstance(value, Timestamp):
            _fail(where, expected)

    return check


_text = _is_a("a string", str)
_integer = _is_a("a whole number", int)
_boolean = _is_a("true or false", bool)
_mapping = _is_a("a mapping", dict)
_list = _is_a("a list", list)
_text_or_list = _is_a("a string or a list", str, list)
_text_or_mapping = _is_a("a string or a mapping", str, dict)
_null = _is_a("empty", type(None))


def _anything(value: Any, where: str) -> None:
    pass


def _hash(value: Any, where: str) -> None:
    if value is None or value == "":
        return
    if isinstance(value, Timestamp) or not isinstance(value, (str, int)):
        _fail(where, "a hash")
    if len(str(value)) < _MIN_HASH:
        _fail(where, f"a hash of at least {_MIN_HASH} characters")


def _list_of(check_item: Check) -> Check:
    def check(value: Any, where: str) -> None:
        _list(value, where)
        for index, item in enumerate(value):
            check_item(item, f"{where}[{index}]")

    return check


def _map_of(check_item: Check, longest: int | None = None) -> Check:
    def check(value: Any, where: str) -> None:
        _mapping(value, where)
        if longest is not None and len(value) > longest:
            _fail(where, f"a mapping with at most {longest} key")
        for key, item in value.items():
            _text(key, f"the key {key!r} of {where}")
            check_item(item, f"{where}.{key}")

    return check


def _fields(optional: dict[str, Check], required: dict[str, Check] | None = None) -> Check:
    known = {**optional, **(required or {})}

    def check(value: Any, where: str) -> None:
        _mapping(value, where)
        for key, item in value.items():
            check_item = known.get(key) if isinstance(key, str) else None
            name = f"{where}.{key}" if where else str(key)
            if check_item is None:
                raise FormatError(f"DVC 3 does not accept the key {name}", name)
            check_item(item, name)
        for key in required or ():
            if key not in value:
                raise FormatError(f"{where or 'it'} has no {key}", where)

    return check


def _any_of(expected: str, *checks: Check) -> Check:
    def check(value: Any, where: str) -> None:
        errors = []
        for each in checks:
            error = _find_error(each, value, where)
            if error is None:
                return
            errors.append(error)
        # The check that got furthest into the value says best what is wrong.
        best = max(errors, key=lambda err: len(err.where))
        if len(best.where) > len(where):
            raise best
        _fail(where, expected)

    return check


def _find_error(check: Check, value: Any, where: str) -> FormatError | None:
    try:
        check(value, where)
    except FormatError as err:
        return err
    return None


def _equal(expected: str) -> Check:
    def check(value: Any, where: str) -> None:
        if value != expected:
            _fail(where, repr(expected))

    return check


_HASHES: dict[str, Check] = dict.fromkeys(("md5", "checksum", "etag"), _hash)
_META: dict[str, Check] = {
    "size": _integer,
    "nfiles": _integer,
    "isexec": _boolean,
    "version_id": _text,
}
_CLOUD = _map_of(_fields({**_META, **_HASHES}), longest=1)
_FILES = _list_of(_fields({**_HASHES, **_META, "cloud": _CLOUD}, {"relpath": _text}))
_ANNOTATION: dict[str, Check] = {
    "desc": _text,
    "type": _text,
    "labels": _list_of(_text),
    "meta": _anything,
}
_DATA: dict[str, Check] = {
    **_HASHES,
    **_META,
    "path": _text,
    "persist": _boolean,
    "cloud": _CLOUD,
    "hash": _text,
}
_OUT = _fields(
    {
        **_DATA,
        **_ANNOTATION,
        "cache": _boolean,
        "remote": _text,
        "push": _boolean,
        "files": _FILES,
        "fs_config": _mapping,
    }
)
_REPO = _fields(
    {"rev": _text, "rev_lock": _text, "config": _text_or_mapping, "remote": _text_or_mapping},
    {"url": _text},
)
_DB = _fields(dict.fromkeys(("query", "connection", "file_format", "table"), _text))
_DEP = _fields({**_DATA, "repo": _REPO, "db": _DB, "files": _FILES, "fs_config": _mapping})

check_dvcfile = _fields(
    {
        "md5": _hash,
        "wdir": _is_a("a string", str, type(None)),
        "deps": _any_of("a list", _list_of(_DEP), _null),
        "outs": _any_of("a list", _list_of(_OUT), _null),
        "locked": _boolean,
        "frozen": _boolean,
        "meta": _anything,
        "always_changed": _boolean,
        "desc": _text,
    }
)

_LOCKED = _fields(
    {**_HASHES, **_META, "cloud": _CLOUD, "files": _FILES, "hash": _text, "dataset": _mapping},
    {"path": _text},
)
check_lock = _fields(
    {
        "datasets": _anything,
        "stages": _map_of(
            _fields(
                {
                    "deps": _list_of(_LOCKED),
                    "params": _map_of(_map_of(_anything)),
                    "outs": _list_of(_LOCKED),
                },
                {"cmd": _text_or_list},
            )
        ),
    },
    {"schema": _equal("2.0")},
)

_FLAGS: dict[str, Check] = {
    **_ANNOTATION,
    "cache": _boolean,
    "persist": _boolean,
    "checkpoint": _boolean,
    "remote": _text,
    "push": _boolean,
}
_PLOT_FLAGS = _fields(
    {
        **_FLAGS,
        **dict.fromkeys(("template", "x", "y", "x_label", "y_label", "title"), _text),
        "header": _boolean,
    }
)
_STAGE_OUTS = _list_of(_any_of("a string or a mapping", _text, _map_of(_fields(_FLAGS))))
_STAGE_PLOTS = _list_of(
    _any_of(
        "a string or a mapping",
        _text,
        _map_of(_any_of("a mapping", _PLOT_FLAGS, _list_of(_PLOT_FLAGS))),
    )
)
_VARS = _list_of(_text_or_mapping)
_STAGE = _fields(
    {
        "matrix": _map_of(_text_or_list),
        "wdir": _text,
        "deps": _list_of(_text),
        "params": _VARS,
        "vars": _VARS,
        "frozen": _boolean,
        "meta": _anything,
        "desc": _text,
        "always_changed": _boolean,
        "outs": _STAGE_OUTS,
        "metrics": _STAGE_OUTS,
        "plots": _STAGE_PLOTS,
    },
    {"cmd": _text_or_list},
)
_FOREACH = _fields(
    {}, {"foreach": _is_a("a list, a mapping or a string", str, list, dict), "do": _STAGE}
)


def _stage(value: Any, where: str) -> None:
    is_foreach = isinstance(value, dict) and not {"foreach", "do"}.isdisjoint(value)
    (_FOREACH if is_foreach else _STAGE)(value, where)


_TEXTS = _list_of(_text)
_PLOT = _fields(
    {
        "x": _any_of("a string or a mapping", _text, _map_of(_text)),
        "y": _any_of(
            "a string, a list or a mapping",
            _text,
            _TEXTS,
            _map_of(_any_of("a string or a list", _text, _TEXTS)),
        ),
        **dict.fromkeys(("x_label", "y_label", "title", "template"), _text),
    }
)
check_pipeline = _fields(
    {
        "datasets": _anything,
        "plots": _list_of(
            _any_of("a string or a mapping", _text, _map_of(_any_of("a mapping", _PLOT, _null)))
        ),
        "stages": _map_of(_stage),
        "vars": _VARS,
        "params": _TEXTS,
        "metrics": _TEXTS,
        "artifacts": _map_of(_fields(_ANNOTATION, {"path": _text})),
    }
)
