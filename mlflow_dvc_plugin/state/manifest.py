"""The machine-readable state inside tags: small, versioned, checksummed.

A manifest is a list of texts, one for each tag. Joined, they are
``VERSION:PARTS:LENGTH:`` and base 85 of a checksum and three blocks: the
entries' columns (JSON, deflated), their MD5 hashes (raw: they do not deflate)
and, where there is room, the metafiles' bytes (JSON, deflated).

Who writes tags is not trusted: what is read here is bounded in size and
checked in type, and what it says is checked again before anything is done.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlflow_dvc_plugin.errors import ManifestError
from mlflow_dvc_plugin.state.entry import Entry, Kind

VERSION = 1
MAX_ENTRIES = 300
PART_LENGTH = 4900  # characters; older MLflow servers stop at 5,000
MAX_PARTS = 16
MAX_INFLATED = 16 * 1024 * 1024  # bytes

_HEAD = struct.Struct(">8sII")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")
_KINDS: tuple[Kind, ...] = ("plain", "import", "import-url", "cloud-versioned")
# What an entry's flags stand for, from the lowest bit up; the kind follows.
_FLAGS = ("isdir", "cached", "input", "isexec", "push")
# A metafile that may name a place or a secret never goes into a tag; `train@v1:` is a stage.
_PRIVATE = re.compile(rb"://|\burl\s*:|@[\w.-]+:(?=\S)", re.IGNORECASE)


class Manifest(NamedTuple):
    """What a manifest says.

    Attributes:
        entries: the outs; where `complete` is False, those that differ from
            the commit's metafiles.
        removed: paths that the commit's metafiles have and the state has not.
        complete: the entries are the whole state.
        metafiles: exact bytes of metafiles, by path.
        pipelines: the first 16 hex of the MD5 of each ``dvc.yaml``, by path.
    """

    entries: tuple[Entry, ...]
    removed: tuple[str, ...] = ()
    complete: bool = True
    metafiles: Mapping[str, bytes] = {}
    pipelines: Mapping[str, str] = {}


def build(
    entries: Sequence[Entry],
    committed: Sequence[Entry] | None,
    metafiles: Mapping[str, bytes],
    room: int,
) -> list[str] | None:
    """Write a state so that it fits into `room` characters.

    Args:
        entries: the whole state.
        committed: what the commit's metafiles say, if that is known.
        metafiles: bytes of the metafiles, by path.
        room: characters that all parts together may take.

    Returns:
        The parts, each at most 5,000 characters; None if nothing fits.
    """
    pipelines = {
        path: hashlib.md5(data, usedforsecurity=False).hexdigest()[:16]
        for path, data in metafiles.items()
        if path.rpartition("/")[2] == "dvc.yaml"
    }
    public = {
        path: data
        for path, data in metafiles.items()
        if path not in pipelines and not _PRIVATE.search(data)
    }
    whole = Manifest(tuple(entries), metafiles=public, pipelines=pipelines)
    candidates = []
    if len(entries) <= MAX_ENTRIES:
        candidates += [whole, whole._replace(metafiles={})]
    if committed is not None:
        before = {e.path: e for e in committed}
        now = {e.path for e in entries}
        changed = tuple(e for e in entries if e._replace(input=False) != before.get(e.path))
        touched = {e.metafile for e in changed}
        candidates.append(
            Manifest(
                changed,
                tuple(sorted(before.keys() - now)),
                complete=False,
                metafiles={path: data for path, data in public.items() if path in touched},
                pipelines=pipelines,
            )
        )
        candidates.append(candidates[-1]._replace(metafiles={}))
    for candidate in candidates:
        if len(candidate.entries) > 50 * MAX_ENTRIES:
            continue
        parts = dump(candidate)
        if sum(map(len, parts)) <= room:
            return parts
    return None


def dump(manifest: Manifest) -> list[str]:
    """Write a manifest as texts of at most 5,000 characters each."""
    stages = _Table()
    files = _Table()
    names = _Table()
    rows: list[list[Any]] = []
    hashes = bytearray()
    for e in manifest.entries:
        value: str | int | None = e.hash
        if e.hash and _MD5.match(e.hash):
            value = len(e.hash) - 32  # 0 or 4: the digest is among the raw ones
            hashes += bytes.fromhex(e.hash[:32])
        flags = sum(1 << bit for bit, name in enumerate(_FLAGS) if getattr(e, name))
        rows.append(
            [
                e.path,
                value,
                e.size,
                e.nfiles,
                flags + (_KINDS.index(e.kind) << len(_FLAGS)),
                names.index(e.hash_name),
                stages.index(e.stage),
                -1 if e.metafile == f"{e.path}.dvc" else files.index(e.metafile),
                names.index(e.remote),
            ]
        )
    document = {
        "columns": [list(column) for column in zip(*rows, strict=True)],
        "stages": stages.values,
        "files": files.values,
        "names": names.values,
        "removed": list(manifest.removed),
        "complete": manifest.complete,
        "pipelines": dict(manifest.pipelines),
    }
    packed = _deflate(document)
    texts = {path: data.decode("latin-1") for path, data in manifest.metafiles.items()}
    body = packed + bytes(hashes) + (_deflate(texts) if texts else b"")
    head = _HEAD.pack(_checksum(body, len(packed), len(hashes)), len(packed), len(hashes))
    data = base64.b85encode(head + body).decode()
    count = -(-(len(data) + 40) // PART_LENGTH)
    text = f"{VERSION}:{count}:{len(data)}:{data}"
    return [text[i : i + PART_LENGTH] for i in range(0, len(text), PART_LENGTH)]


def parse(parts: Sequence[str]) -> Manifest:
    """Read what :func:`dump` wrote.

    Raises:
        ManifestError: the parts are of a newer version, cut, changed or not a
            manifest at all.
    """
    if len(parts) > MAX_PARTS:
        raise ManifestError("it has too many parts")
    head, _, data = "".join(parts).partition(":")
    count, _, data = data.partition(":")
    length, _, data = data.partition(":")
    if not (head.isdecimal() and count.isdecimal() and length.isdecimal()) or len(length) > 9:
        raise ManifestError("it is not a manifest")
    if int(head) != VERSION:
        raise ManifestError(f"it is of version {head[:9]}, and this release reads {VERSION}")
    if len(data) != int(length) or len(parts) != int(count):
        raise ManifestError("it was cut")
    try:
        raw = base64.b85decode(data)
        checksum, packed, hashed = _HEAD.unpack_from(raw)
    except (ValueError, struct.error) as err:
        raise ManifestError("it is damaged") from err
    body = raw[_HEAD.size :]
    if _checksum(body, packed, hashed) != checksum:
        raise ManifestError("its checksum is wrong")
    try:
        return _interpret(body, packed, hashed)
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as err:
        raise ManifestError("it is damaged") from err


def _checksum(body: bytes, packed: int, hashed: int) -> bytes:
    text = b"%d:%d:" % (packed, hashed)
    return hashlib.md5(text + body, usedforsecurity=False).digest()[:8]


def _interpret(body: bytes, packed: int, hashed: int) -> Manifest:
    document = _inflate(body[:packed])
    digests = re.findall(r".{32}", body[packed : packed + hashed].hex())[::-1]
    files = document["files"]
    names = document["names"]
    entries = []
    for path, value, size, nfiles, bits, name, stage, metafile, remote in zip(
        *document["columns"], strict=True
    ):
        kind = _KINDS[bits >> len(_FLAGS)]
        flags = {flag: bool(bits & 1 << bit) for bit, flag in enumerate(_FLAGS)}
        entry = Entry(
            path=_typed(path, str),
            hash_name=_typed(names[name], str),
            hash=digests.pop() + ".dir"[:value] if isinstance(value, int) else _text(value),
            size=_count(size),
            nfiles=_count(nfiles),
            stage=_text(document["stages"][stage]),
            metafile=_typed(f"{path}.dvc" if metafile == -1 else files[metafile], str),
            remote=_text(names[remote]),
            kind=kind,
            **flags,
        )
        entries.append(entry)
    texts = _inflate(body[packed + hashed :]) if len(body) > packed + hashed else {}
    return Manifest(
        entries=tuple(entries),
        removed=tuple(_typed(path, str) for path in document["removed"]),
        complete=_typed(document["complete"], bool),
        metafiles={path: text.encode("latin-1") for path, text in texts.items()},
        pipelines={path: _typed(md5, str) for path, md5 in document["pipelines"].items()},
    )


class _Table:
    """Texts, each kept once, spoken of by their number."""

    def __init__(self) -> None:
        self.values: list[str | None] = []
        self._numbers: dict[str | None, int] = {}

    def index(self, value: str | None) -> int:
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


def _deflate(document: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)


def _inflate(data: bytes) -> dict[str, Any]:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, MAX_INFLATED)
    except zlib.error as err:
        raise ValueError(str(err)) from err
    if not inflater.eof:
        raise ManifestError("it is cut, or inflates to more than 16 MiB")
    document: dict[str, Any] = _typed(json.loads(text), dict)
    return document


def _typed(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} belongs")
    if kind is str:
        # Bytes of file names that are no text are fine, other halves of characters are not.
        value.encode("utf-8", "surrogateescape")
    return value


def _text(value: Any) -> str | None:
    return None if value is None else _typed(value, str)


def _count(value: Any) -> int | None:
    count: int | None = None if value is None else _typed(value, int)
    if count is not None and not 0 <= count < 2**63:
        raise ValueError("not a count")
    return count
