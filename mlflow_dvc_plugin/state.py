"""The data state of a project: every output with its hash, at one moment.

Values only; nothing here touches a disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

Status = Literal["clean", "modified", "missing", "unverified"]
Kind = Literal["plain", "import", "import-url", "cloud-versioned"]
Source = Literal["workspace", "manifest", "artifacts", "commit"]


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


@dataclass(frozen=True)
class DataState:
    """What a run's data was, or is.

    Attributes:
        root: the project's folder relative to the Git root, POSIX; ``.`` at
            the top or without Git.
        entries: every out, sorted by path.
        lock_hash: MD5 over the project's ``dvc.lock`` files; None without one.
        git_commit: HEAD of the Git repository; None without Git or commits.
        status: does the workspace hold what the metafiles say.
        modified: paths proven different from what the metafiles say.
        stage: address of the running stage; None outside one.
        exp_name: name of the running DVC experiment.
        exp_baseline: commit that the running DVC experiment started from.
        remote: name of the default remote.
        metafiles: bytes of the metafiles, by path relative to the project.
        committed: what the metafiles of ``git_commit`` say; only looked up
            where there are too many outs to write them all into tags.
        pipelines: first 16 hex of the MD5 of each ``dvc.yaml``, by path, where
            a recorded state does not have its bytes.
        source: where the state was read.
        project: absolute path of the project; empty for a recorded state.
    """

    root: str
    entries: tuple[Entry, ...]
    lock_hash: str | None = None
    git_commit: str | None = None
    status: Status = "unverified"
    modified: tuple[str, ...] = ()
    stage: str | None = None
    exp_name: str | None = None
    exp_baseline: str | None = None
    remote: str | None = None
    metafiles: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    committed: tuple[Entry, ...] | None = field(default=None, repr=False, compare=False)
    pipelines: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    source: Source = field(default="workspace", compare=False)
    project: str = field(default="", compare=False)

    @cached_property
    def data_hash(self) -> str:
        """The fingerprint of the whole state."""
        return fingerprint(self.entries)

    @cached_property
    def inputs_hash(self) -> str | None:
        """The fingerprint of the running stage's data inputs; None outside a stage."""
        if self.stage is None:
            return None
        return fingerprint(e for e in self.entries if e.input)

    def to_tags(self) -> dict[str, str]:
        """The MLflow tags that record this state (see :mod:`mlflow_dvc_plugin.tags`)."""
        from mlflow_dvc_plugin.tags import to_tags

        return to_tags(self)
