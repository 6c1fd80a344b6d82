"""A data state as a JSON file, which ``mlflow-dvc export`` writes and MLFLOW_DVC_STATE names.

Such a file can come from others. So what is read is limited in size, checked in
type, and must have the fingerprint that it states.
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
from mlflow_dvc_plugin.state.entry import PUBLIC_FIELDS, Entry, check_entry, check_text, sort_key
from mlflow_dvc_plugin.state.program import dump_program, load_program

FORMAT = "mlflow-dvc state"
VERSION = 1
MAX_BYTES = 64 * 1024 * 1024

_SCALARS = ("lock_hash", "git_commit", "stage", "exp_name", "exp_baseline", "remote")


def dumps(state: DataState) -> str:
    """Write a state as the text of a file; equal states have equal texts."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "root": state.root,
        "data_hash": state.data_hash,
        "inputs_hash": state.inputs_hash,
        "status": state.status,
        "modified": list(state.modified),
        **{name: getattr(state, name) for name in _SCALARS},
        "entries": [_dump_entry(e) for e in state.entries],
        "metafiles": {path: _dump_bytes(data) for path, data in state.metafiles.items()},
        "pipelines": dict(state.pipelines),
    }
    if state.commit_entries is not None:
        document["committed"] = [_dump_entry(e) for e in state.commit_entries]
    if state.program is not None:
        document["program"] = dump_program(state.program)
    return json.dumps(document, indent=1) + "\n"


def loads(text: bytes | str, where: str) -> DataState:
    """Read the text that :func:`dumps` wrote; `where` names it in an error message."""
    if len(text) > MAX_BYTES:
        raise StateFileError(where, f"it is larger than {MAX_BYTES:,} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise StateFileError(where, "it is not JSON, or was cut off") from err
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise StateFileError(where, "it is not what `mlflow-dvc export` writes")
    if document.get("version") != VERSION:
        raise StateFileError(
            where,
            f"it has version {document.get('version')!r}, but this release reads version {VERSION}",
        )
    try:
        state = _load_state(document)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise StateFileError(where, f"it is damaged ({err})") from err
    if state.data_hash != document["data_hash"]:
        raise StateFileError(where, "its entries do not match its data_hash")
    return state


def read(path: str) -> DataState:
    """Read the state in a file, or raise a StateFileError."""
    path = os.path.abspath(os.path.expanduser(path))
    try:
        info = os.stat(path)
        return _read_file(path, info.st_mtime_ns, info.st_size, info.st_ino)
    except OSError as err:
        raise StateFileError(path, f"it cannot be read ({err.strerror})") from err


@lru_cache(maxsize=1)
def _read_file(path: str, *_: int) -> DataState:
    # A parameter search starts hundreds of runs: parse the file only when it changes.
    with open(path, "rb") as file:
        return loads(file.read(MAX_BYTES + 1), path)


def _load_state(document: Mapping[str, Any]) -> DataState:
    commit_entries = document.get("committed")
    scalars: dict[str, Any] = {
        name: None if document[name] is None else check_text(document[name]) for name in _SCALARS
    }
    status: Status = document["status"]
    if status not in get_args(Status):
        raise ValueError(f"status {status!r}")
    return DataState(
        root=check_text(document["root"]),
        entries=tuple(sorted(map(_load_entry, document["entries"]), key=sort_key)),
        status=status,
        modified=tuple(map(check_text, document["modified"])),
        metafiles={
            check_text(path): _load_bytes(data) for path, data in document["metafiles"].items()
        },
        pipelines={
            check_text(path): check_text(md5) for path, md5 in document["pipelines"].items()
        },
        commit_entries=None if commit_entries is None else tuple(map(_load_entry, commit_entries)),
        program=load_program(document["program"]) if "program" in document else None,
        **scalars,
    )


def _dump_entry(entry: Entry) -> dict[str, Any]:
    defaults = Entry._field_defaults
    values = entry._asdict()
    return {
        name: value
        for name, value in values.items()
        if name in PUBLIC_FIELDS or value != defaults[name]
    }


def _load_entry(item: Mapping[str, Any]) -> Entry:
    entry = Entry(**item)
    check_entry(entry)
    return entry


def _dump_bytes(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _load_bytes(value: Any) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(check_text(value["base64"]), validate=True)
    return check_text(value).encode()
