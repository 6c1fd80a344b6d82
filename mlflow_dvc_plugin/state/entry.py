"""The entries of a data state, and the fingerprint over them."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from typing import Any, Literal, get_args

from mlflow_dvc_plugin.named_tuple import NamedTuple

Kind = Literal["plain", "import", "import-url", "cloud-versioned"]


class Entry(NamedTuple):
    """One output ("out") that a metafile tracks, or data that was saved without one.

    Attributes:
        path: POSIX path relative to the project (an external out keeps the
            path or URL of its definition).
        hash_name: DVC's name of the hash: ``md5``, ``md5-dos2unix``, ``etag``, …
        hash: its value as DVC writes it, with ``.dir`` for a folder; None if
            the stage never ran.
        size: bytes, of all files together for a folder; None if not recorded.
        nfiles: number of files in a folder; None if not recorded.
        isdir: the out is a folder.
        cached: DVC caches it (``cache: false`` outs are Git's).
        input: it is a data input of the running stage.
        stage: address of the stage that makes it (``train@v1``,
            ``sub/dvc.yaml:train``); None for a ``.dvc`` file's.
        metafile: the file that records the hash, relative to the project; empty if none does.
        isexec: the file is executable.
        remote: name of the out's own remote, if it has one.
        push: False for ``push: false`` outs.
        kind: where the bytes come from: content-addressed cache and remotes
            (``plain``), ``dvc import``, ``dvc import-url``, or a
            cloud-versioned remote.
    """

    path: str
    hash_name: str
    hash: str | None
    size: int | None = None
    nfiles: int | None = None
    isdir: bool = False
    cached: bool = True
    input: bool = False
    stage: str | None = None
    metafile: str = ""
    isexec: bool = False
    remote: str | None = None
    push: bool = True
    kind: Kind = "plain"

    def to_dict(self) -> dict[str, Any]:
        """The public fields, as ``--json`` prints them."""
        return {name: getattr(self, name) for name in PUBLIC_FIELDS}


PUBLIC_FIELDS = Entry._fields[: Entry._fields.index("metafile") + 1]
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("path", "hash_name", "metafile", "kind"), (str,)),
    **dict.fromkeys(("hash", "stage", "remote"), (str, type(None))),
    **dict.fromkeys(("size", "nfiles"), (int, type(None))),
    **dict.fromkeys(("isdir", "cached", "input", "isexec", "push"), (bool,)),
}


def sort_key(entry: Entry) -> tuple[str, str, str]:
    """What the entries of a state are sorted by."""
    return entry.path, entry.hash or "", entry.metafile


def usage_key(entry: Entry) -> tuple[bool, str]:
    """What the used outs of a run outside a stage are sorted by: ``.dvc`` files come first."""
    return entry.stage is not None, entry.path


def find_owner(path: str, outs: Container[str]) -> str | None:
    """Find the out that a file belongs to: itself, or the nearest folder above it."""
    while path and path not in outs:
        path = path.rpartition("/")[0]
    return path or None


def check_entry(entry: Entry) -> None:
    """Check an untrusted entry: a TypeError or ValueError names the field."""
    for name, types in _TYPES.items():
        value = getattr(entry, name)
        if type(value) not in types:  # a bool is an int to Python, but not a size
            raise TypeError(f"{name} of {entry.path!r}")
        if type(value) is str:
            check_text(value)
        elif type(value) is int and not 0 <= value < 2**63:
            raise ValueError(f"{name} of {entry.path!r}")
    if entry.kind not in get_args(Kind):
        raise ValueError(f"kind of {entry.path!r}")


def check_text(value: Any) -> str:
    """Check an untrusted text: a TypeError or UnicodeError if it is not even a file's name."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of str")
    # A surrogate can stand for a byte in the name of a file, but not for half a character.
    value.encode("utf-8", "surrogateescape")
    return value


def fingerprint(entries: Iterable[Entry]) -> str:
    """MD5, in hex, over the outs that DVC caches and that have a hash.

    The hashed text has one line ``path TAB hashname COLON hash LF`` for each,
    sorted by the path's code points, in UTF-8.
    """
    lines = sorted((e.path, e.hash_name, e.hash) for e in entries if e.cached and e.hash)
    text = "".join([f"{path}\t{name}:{value}\n" for path, name, value in lines])
    # Surrogates stand for bytes in file names that are not UTF-8.
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
