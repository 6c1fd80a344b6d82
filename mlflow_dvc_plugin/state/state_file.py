"""A data state as a JSON file: what ``mlflow-dvc export`` writes and MLFLOW_DVC_STATE names.

Files come from others, too: what is read is bounded in size, checked in type,
and must have the fingerprint that it claims.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_args

from mlflow_dvc_plugin.errors import StateFileError
from mlflow_dvc_plugin.state.data_state import DataState, Status
from mlflow_dvc_plugin.state.entry import PUBLIC_FIELDS, Entry, Kind

FORMAT = "mlflow-dvc state"
VERSION = 1
MAX_BYTES = 64 * 1024 * 1024

_ENTRY_TYPES: dict[str, tuple[type, ...]] = {
    "path": (str,),
    "hash_name": (str,),
    "hash": (str, type(None)),
    "size": (int, type(None)),
    "nfiles": (int, type(None)),
    "isdir": (bool,),
    "cached": (bool,),
    "input": (bool,),
    "stage": (str, type(None)),
    "metafile": (str,),
    "isexec": (bool,),
    "remote": (str, type(None)),
    "push": (bool,),
    "kind": (str,),
}
_SCALARS = ("lock_hash", "git_commit", "stage", "exp_name", "exp_baseline", "remote")


def to_document(state: DataState) -> dict[str, Any]:
    """A state as values that JSON knows."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "root": state.root,
        "data_hash": state.data_hash,
        "inputs_hash": state.inputs_hash,
        "status": state.status,
        "modified": list(state.modified),
        **{name: getattr(state, name) for name in _SCALARS},
        "entries": [_from_entry(e) for e in state.entries],
        "metafiles": {path: _from_bytes(data) for path, data in state.metafiles.items()},
        "pipelines": dict(state.pipelines),
    }
    if state.committed is not None:
        document["committed"] = [_from_entry(e) for e in state.committed]
    return document


def dumps(state: DataState) -> str:
    """The text of a state's file; equal states have equal texts."""
    return json.dumps(to_document(state), indent=1) + "\n"


def loads(text: bytes | str, where: str) -> DataState:
    """The state that :func:`dumps` wrote.

    Args:
        text: the file's content.
        where: what to call it in an error.

    Raises:
        StateFileError: it is not the file of a state, or was changed.
    """
    if len(text) > MAX_BYTES:
        raise StateFileError(where, f"it is larger than {MAX_BYTES:,} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise StateFileError(where, "it is not JSON, or was cut") from err
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise StateFileError(where, "it is not what `mlflow-dvc export` writes")
    if document.get("version") != VERSION:
        raise StateFileError(
            where, f"it is of version {document.get('version')!r}, and this release reads {VERSION}"
        )
    try:
        state = _state(document)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise StateFileError(where, f"it is damaged ({err})") from err
    if state.data_hash != document["data_hash"]:
        raise StateFileError(where, "its entries do not have the data_hash that it states")
    return state


def read(path: str) -> DataState:
    """The state in the file at `path`.

    Raises:
        StateFileError: it cannot be read, or is not the file of a state.
    """
    path = os.path.abspath(os.path.expanduser(path))
    try:
        info = os.stat(path)
        return _read(path, info.st_mtime_ns, info.st_size, info.st_ino)
    except OSError as err:
        raise StateFileError(path, f"it cannot be read ({err.strerror})") from err


@lru_cache(maxsize=1)
def _read(path: str, *_: int) -> DataState:
    # A search starts hundreds of runs: the file is parsed once, until it changes.
    with open(path, "rb") as file:
        return loads(file.read(MAX_BYTES + 1), path)


def _state(document: Mapping[str, Any]) -> DataState:
    committed = document.get("committed")
    status: Status = document["status"]
    if status not in get_args(Status):
        raise ValueError(f"status {status!r}")
    return DataState(
        root=_text(document["root"]),
        entries=tuple(sorted((_to_entry(item) for item in document["entries"]), key=_order)),
        status=status,
        modified=tuple(map(_text, document["modified"])),
        metafiles={_text(path): _to_bytes(data) for path, data in document["metafiles"].items()},
        pipelines={_text(path): _text(md5) for path, md5 in document["pipelines"].items()},
        committed=None if committed is None else tuple(map(_to_entry, committed)),
        lock_hash=_optional(document["lock_hash"]),
        git_commit=_optional(document["git_commit"]),
        stage=_optional(document["stage"]),
        exp_name=_optional(document["exp_name"]),
        exp_baseline=_optional(document["exp_baseline"]),
        remote=_optional(document["remote"]),
    )


def _order(entry: Entry) -> tuple[str, str, str]:
    return entry.path, entry.hash or "", entry.metafile


def _from_entry(entry: Entry) -> dict[str, Any]:
    defaults = Entry._field_defaults
    values = entry._asdict()
    return {
        name: value
        for name, value in values.items()
        if name in PUBLIC_FIELDS or value != defaults[name]
    }


def _to_entry(item: Mapping[str, Any]) -> Entry:
    for name, value in item.items():
        # A bool is an int to Python, and no size.
        if type(value) not in _ENTRY_TYPES[name]:
            raise TypeError(f"{name} of {item.get('path')!r}")
    if item.get("kind", "plain") not in get_args(Kind):
        raise ValueError(f"kind of {item['path']!r}")
    return Entry(**item)


def _from_bytes(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(_text(value["base64"]), validate=True)
    return _text(value).encode()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text belongs")
    return value


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)
