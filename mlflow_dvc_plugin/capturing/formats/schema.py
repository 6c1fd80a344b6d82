"""What DVC 3 accepts in a metafile; the rest it refuses, and so does capture.

It mirrors ``dvc.schema``: a check takes a value and raises
:class:`SchemaError` if DVC would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow_dvc_plugin.capturing.formats.errors import SchemaError
from mlflow_dvc_plugin.capturing.formats.yaml import Timestamp

__all__ = ["SchemaError", "dvcfile", "lockfile", "pipeline"]

Check = Callable[[Any, str], None]

_MIN_HASH = 3


def _fail(where: str, wanted: str) -> None:
    raise SchemaError(where, f"{where or 'it'} must be {wanted}")


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str) or isinstance(value, Timestamp):
        _fail(where, "a text")


def _integer(value: Any, where: str) -> None:
    if not isinstance(value, int):
        _fail(where, "a whole number")


def _boolean(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        _fail(where, "true or false")


def _anything(value: Any, where: str) -> None:
    pass


def _mapping(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        _fail(where, "a mapping")


def _list(value: Any, where: str) -> None:
    if not isinstance(value, list):
        _fail(where, "a list")


def _checksum(value: Any, where: str) -> None:
    if value is None or value == "":
        return
    if isinstance(value, Timestamp) or not isinstance(value, (str, int)):
        _fail(where, "a hash")
    if len(str(value)) < _MIN_HASH:
        _fail(where, f"a hash of at least {_MIN_HASH} characters")


def _list_of(check: Check) -> Check:
    def checked(value: Any, where: str) -> None:
        _list(value, where)
        for index, item in enumerate(value):
            check(item, f"{where}[{index}]")

    return checked


def _map_of(check: Check, longest: int | None = None) -> Check:
    def checked(value: Any, where: str) -> None:
        _mapping(value, where)
        if longest is not None and len(value) > longest:
            _fail(where, f"a mapping of at most {longest}")
        for key, item in value.items():
            _text(key, f"the key {key!r} of {where}")
            check(item, f"{where}.{key}")

    return checked


def _fields(optional: dict[str, Check], required: dict[str, Check] | None = None) -> Check:
    known = {**optional, **(required or {})}

    def checked(value: Any, where: str) -> None:
        _mapping(value, where)
        for key, item in value.items():
            check = known.get(key) if isinstance(key, str) else None
            name = f"{where}.{key}" if where else str(key)
            if check is None:
                raise SchemaError(name, f"DVC 3 does not know the key {name}")
            check(item, name)
        for key in required or ():
            if key not in value:
                raise SchemaError(where, f"{where or 'it'} lacks {key}")

    return checked


def _any_of(wanted: str, *checks: Check) -> Check:
    def checked(value: Any, where: str) -> None:
        errors = []
        for check in checks:
            error = _error_of(check, value, where)
            if error is None:
                return
            errors.append(error)
        # The check that came furthest knows what is wrong.
        best = max(errors, key=lambda err: len(err.where))
        if len(best.where) > len(where):
            raise best
        _fail(where, wanted)

    return checked


def _error_of(check: Check, value: Any, where: str) -> SchemaError | None:
    try:
        check(value, where)
    except SchemaError as err:
        return err
    return None


def _null(value: Any, where: str) -> None:
    if value is not None:
        _fail(where, "empty")


def _equal(expected: str) -> Check:
    def checked(value: Any, where: str) -> None:
        if value != expected:
            _fail(where, repr(expected))

    return checked


_CHECKSUMS: dict[str, Check] = dict.fromkeys(("md5", "checksum", "etag"), _checksum)
_META: dict[str, Check] = {
    "size": _integer,
    "nfiles": _integer,
    "isexec": _boolean,
    "version_id": _text,
}
_CLOUD = _map_of(_fields({**_META, **_CHECKSUMS}), longest=1)
_FILES = _list_of(_fields({**_CHECKSUMS, **_META, "cloud": _CLOUD}, {"relpath": _text}))
_ANNOTATION: dict[str, Check] = {
    "desc": _text,
    "type": _text,
    "labels": _list_of(_text),
    "meta": _anything,
}
_DATA: dict[str, Check] = {
    **_CHECKSUMS,
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
    {
        "rev": _text,
        "rev_lock": _text,
        "config": _any_of("a text or a mapping", _text, _mapping),
        "remote": _any_of("a text or a mapping", _text, _mapping),
    },
    {"url": _text},
)
_DB = _fields(dict.fromkeys(("query", "connection", "file_format", "table"), _text))
_DEP = _fields({**_DATA, "repo": _REPO, "db": _DB, "files": _FILES, "fs_config": _mapping})

dvcfile = _fields(
    {
        "md5": _checksum,
        "wdir": _any_of("a text", _text, _null),
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
    {
        **_CHECKSUMS,
        **_META,
        "cloud": _CLOUD,
        "files": _FILES,
        "hash": _text,
        "dataset": _mapping,
    },
    {"path": _text},
)
_COMMAND = _any_of("a text or a list", _text, _list)
lockfile = _fields(
    {
        "datasets": _anything,
        "stages": _map_of(
            _fields(
                {
                    "deps": _list_of(_LOCKED),
                    "params": _map_of(_map_of(_anything)),
                    "outs": _list_of(_LOCKED),
                },
                {"cmd": _COMMAND},
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
_STAGE_OUTS = _list_of(_any_of("a text or a mapping", _text, _map_of(_fields(_FLAGS))))
_STAGE_PLOTS = _list_of(
    _any_of(
        "a text or a mapping",
        _text,
        _map_of(_any_of("a mapping", _PLOT_FLAGS, _list_of(_PLOT_FLAGS))),
    )
)
_VARS = _list_of(_any_of("a text or a mapping", _text, _mapping))
_STAGE = _fields(
    {
        "matrix": _map_of(_any_of("a text or a list", _text, _list)),
        "wdir": _text,
        "deps": _list_of(_text),
        "params": _list_of(_any_of("a text or a mapping", _text, _mapping)),
        "vars": _VARS,
        "frozen": _boolean,
        "meta": _anything,
        "desc": _text,
        "always_changed": _boolean,
        "outs": _STAGE_OUTS,
        "metrics": _STAGE_OUTS,
        "plots": _STAGE_PLOTS,
    },
    {"cmd": _COMMAND},
)
_FOREACH = _fields(
    {}, {"foreach": _any_of("a list, mapping or text", _text, _list, _mapping), "do": _STAGE}
)


def _stage(value: Any, where: str) -> None:
    grouped = isinstance(value, dict) and not {"foreach", "do"}.isdisjoint(value)
    (_FOREACH if grouped else _STAGE)(value, where)


_TEXTS = _list_of(_text)
_PLOT = _fields(
    {
        "x": _any_of("a text or a mapping", _text, _map_of(_text)),
        "y": _any_of(
            "a _text, list or mapping",
            _text,
            _TEXTS,
            _map_of(_any_of("a text or a list", _text, _TEXTS)),
        ),
        **dict.fromkeys(("x_label", "y_label", "title", "template"), _text),
    }
)
pipeline = _fields(
    {
        "datasets": _anything,
        "plots": _list_of(
            _any_of("a text or a mapping", _text, _map_of(_any_of("a mapping", _PLOT, _null)))
        ),
        "stages": _map_of(_stage),
        "vars": _VARS,
        "params": _TEXTS,
        "metrics": _TEXTS,
        "artifacts": _map_of(_fields(_ANNOTATION, {"path": _text})),
    }
)
