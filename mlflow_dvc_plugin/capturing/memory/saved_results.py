"""Results that take long to compute, saved below ``.dvc/tmp`` for other processes.

The name of a file is a hash of everything that its content depends on, and the
file begins with a checksum: a file that is cut off, damaged or of another release
is ignored. Files are renamed into place, so any number of processes can write at
once. Their number and size are bounded. In a read-only project nothing is saved.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from typing import Any

from mlflow_dvc_plugin.capturing.files import hash_bytes
from mlflow_dvc_plugin.version import __version__

_FORMAT = 3
_MAX_FILES = 64
_MAX_BYTES = 1 << 26  # of one file
_MAX_TOTAL = 1 << 28
_ABANDONED_SECONDS = 3600


def result_path(project: str, what: str, data: bytes) -> str:
    """Where the result of `what`, computed from `data`, is saved."""
    key = hash_bytes(f"{_FORMAT}\0{__version__}\0{what}\0".encode("utf-8", "replace") + data)
    return os.path.join(project, ".dvc", "tmp", "mlflow-dvc", f"{key}.json")


def load_result(path: str) -> Any:
    """The value in a file; None if the file is absent, incomplete or damaged."""
    try:
        with open(path, "rb") as file:
            checksum, _, body = file.read(_MAX_BYTES).partition(b"\n")
        if checksum.decode("ascii", "replace") != hash_bytes(body):
            return None
        return json.loads(body)
    except (OSError, ValueError, RecursionError):
        return None


def save_result(path: str, value: Any) -> None:
    """Save a value, if the project is writable."""
    folder = os.path.dirname(path)
    body = json.dumps(value, separators=(",", ":")).encode()
    if len(body) >= _MAX_BYTES - 64:
        return
    try:
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".new")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hash_bytes(body).encode() + b"\n" + body)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        _delete_surplus(folder)
    except OSError:
        return


def _delete_surplus(folder: str) -> None:
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
        if number >= _MAX_FILES or total > _MAX_TOTAL:
            os.unlink(path)


def is_json(value: Any) -> bool:
    """Does JSON return the very same value? A date would come back as a string."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and is_json(item) for key, item in value.items())
    if kind is list:
        return all(map(is_json, value))
    return value is None or kind in (str, int, float, bool)
