"""One output of a project with its hash, and the fingerprint over many."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

Kind = Literal["plain", "import", "import-url", "cloud-versioned"]


class Entry(NamedTuple):
    """One output ("out") that a metafile tracks.

    Attributes:
        path: POSIX path relative to the project (an external out keeps the
            path or URL of its definition).
        hash_name: DVC's name of the hash: ``md5``, ``md5-dos2unix``, ``etag``, …
        hash: its value as DVC writes it, with ``.dir`` for a folder; None when
            the out was never made.
        size: bytes, of all files together for a folder; None if not recorded.
        nfiles: number of files in a folder; None if not recorded.
        isdir: the out is a folder.
        cached: DVC caches it (``cache: false`` outs are Git's).
        input: it is a data input of the running stage.
        stage: address of the stage that makes it (``train@v1``,
            ``sub/dvc.yaml:train``); None for a ``.dvc`` file's.
        metafile: the file that records the hash, relative to the project.
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


PUBLIC_FIELDS = (
    "path",
    "hash_name",
    "hash",
    "size",
    "nfiles",
    "isdir",
    "cached",
    "input",
    "stage",
    "metafile",
)


def fingerprint(entries: Iterable[Entry]) -> str:
    """MD5, in hex, over the outs that DVC caches and that have a hash.

    The hashed text has one line ``path TAB hashname COLON hash LF`` for each,
    sorted by the path's code points, in UTF-8. Without any: the MD5 of the
    empty text.
    """
    lines = sorted((e.path, e.hash_name, e.hash) for e in entries if e.cached and e.hash)
    text = "".join([f"{path}\t{name}:{value}\n" for path, name, value in lines])
    # Surrogates stand for bytes in file names that are not UTF-8.
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
