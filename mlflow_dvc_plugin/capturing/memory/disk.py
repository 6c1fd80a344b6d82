"""What took long to find out, kept under ``.dvc/tmp`` for the next process.

Each file is named by all that its content depends on, and begins with a checksum:
what is cut, damaged or of another release is passed over. Files appear whole, by
renaming, so any number of processes can write at once; their number and size are
bounded, and a project that cannot be written to has no memory.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from hashlib import md5
from typing import Any

from mlflow_dvc_plugin.version import __version__

_FORMAT = 3
_FILES = 64
_MAX_BYTES = 1 << 26  # of one file
_MAX_TOTAL = 1 << 28
_ABANDONED_SECONDS = 3600
# What is parsed sooner is not worth a file.
WORTH_BYTES = 20_000
WORTH_SECONDS = 0.25

Parse = Callable[[bytes], dict[str, Any]]


def parsed(project: str, parse: Parse, data: bytes) -> dict[str, Any]:
    """The result of `parse`, which depends on nothing but the bytes.

    Raises:
        DocumentError: they are no YAML document.
        SchemaError: DVC refuses it.
    """
    if len(data) < WORTH_BYTES:
        return parse(data)
    path = place(project, f"{parse.__module__}.{parse.__name__}", data)
    known = read(path)
    if isinstance(known, dict):
        return known
    started = time.monotonic()
    found = parse(data)
    if time.monotonic() - started >= WORTH_SECONDS and _survives(found):
        write(path, found)
    return found


def place(project: str, what: str, data: bytes) -> str:
    """Where the answer to a question is kept."""
    key = digest(f"{_FORMAT}\0{__version__}\0{what}\0".encode("utf-8", "replace") + data)
    return os.path.join(project, ".dvc", "tmp", "mlflow-dvc", f"{key}.json")


def digest(data: bytes) -> str:
    """MD5 in hex."""
    return md5(data, usedforsecurity=False).hexdigest()


def read(path: str) -> Any:
    """The value in a file; None if it holds none, or not all of it."""
    try:
        with open(path, "rb") as file:
            checksum, _, body = file.read(_MAX_BYTES).partition(b"\n")
        if checksum.decode("ascii", "replace") != digest(body):
            return None
        return json.loads(body)
    except (OSError, ValueError, RecursionError):
        return None


def write(path: str, value: Any) -> None:
    """Keep a value, if the project can be written to."""
    folder = os.path.dirname(path)
    body = json.dumps(value, separators=(",", ":")).encode()
    if len(body) >= _MAX_BYTES - 64:
        return
    try:
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".new")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(digest(body).encode() + b"\n" + body)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        _prune(folder)
    except OSError:
        return


def _prune(folder: str) -> None:
    found = []
    with os.scandir(folder) as entries:
        for item in entries:
            info = item.stat()
            if item.name.endswith(".json"):
                found.append((info.st_mtime, info.st_size, item.path))
            elif item.name.endswith(".new") and time.time() - info.st_mtime > _ABANDONED_SECONDS:
                os.unlink(item.path)
    total = 0
    for number, (_, size, path) in enumerate(sorted(found, reverse=True)):
        total += size
        if number >= _FILES or total > _MAX_TOTAL:
            os.unlink(path)


def _survives(value: Any) -> bool:
    """Does JSON give back the very same? A date, to DVC no text, would become one."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and _survives(item) for key, item in value.items())
    if kind is list:
        return all(map(_survives, value))
    return value is None or kind in (str, int, float, bool)
