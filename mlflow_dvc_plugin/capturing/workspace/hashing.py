"""DVC's hashes of a file's content, if there is time to compute them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from hashlib import md5

_CHUNK = 1 << 20
_TEXT_BLOCK = 512
_TEXT_CHARS = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MAX_NONTEXT = 0.30
# No disk is faster: a file that cannot be read in time is not opened.
_BYTES_PER_SECOND = 2_000_000_000
# A file that changed this recently could change again without a new timestamp.
_SETTLED_NS = 2_000_000_000
_MAX_HASHES = 200_000

_hashes: dict[tuple[object, ...], str] = {}


def find_known_hash(path: str, info: os.stat_result, hash_name: str) -> str | None:
    """The hash of a file that this process knows, if the file was not touched since."""
    return _hashes.get(_key(path, info, hash_name))


def remember_hash(
    path: str, info: os.stat_result, hash_name: str, value: str, looked_ns: int
) -> None:
    """Remember the hash of a file; `looked_ns` is the time before its stat was taken."""
    if looked_ns - max(info.st_mtime_ns, info.st_ctime_ns) > _SETTLED_NS:
        if len(_hashes) >= _MAX_HASHES:
            _hashes.clear()
        _hashes[_key(path, info, hash_name)] = value


def hash_file(
    path: str,
    info: os.stat_result,
    hash_name: str,
    deadline: float,
    report: Callable[[int], None] | None = None,
) -> str | None:
    """Hash a file, with ``md5`` or with DVC 2's ``md5-dos2unix``.

    None if the file is not the one of `info` any more, cannot be read, or is not done
    by the deadline (of :func:`time.monotonic`). `report` is told of each part: its bytes.
    """
    if time.monotonic() + info.st_size / _BYTES_PER_SECOND >= deadline:
        return None
    digest = md5(usedforsecurity=False)
    is_text = False
    started = time.time_ns()
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                if hash_name == "md5-dos2unix":
                    # DVC 2 decides for each chunk whether it is text.
                    is_text = _is_text(chunk[:_TEXT_BLOCK])
                digest.update(chunk.replace(b"\r\n", b"\n") if is_text else chunk)
                if report is not None:
                    report(len(chunk))
                if len(chunk) == _CHUNK and time.monotonic() >= deadline:
                    return None
            after = os.fstat(file.fileno())
    except OSError:
        return None
    if _key(path, after, hash_name) != _key(path, info, hash_name):
        return None  # the file changed
    value = digest.hexdigest()
    remember_hash(path, info, hash_name, value, started)
    return value


def _key(path: str, info: os.stat_result, hash_name: str) -> tuple[object, ...]:
    # The ctime cannot be set back, as the mtime can.
    return path, info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size, hash_name


def _is_text(block: bytes) -> bool:
    if b"\0" in block:
        return False
    return len(block.translate(None, _TEXT_CHARS)) <= _MAX_NONTEXT * len(block)
