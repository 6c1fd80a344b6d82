"""The manifest: the machine-readable state in tags; small, versioned, with a checksum.

A manifest is a list of texts, one for each tag. Joined, they are
``VERSION:PARTS:LENGTH:`` and, in base 85, a checksum and three blocks: the
columns of the entries (JSON, compressed), their MD5 hashes (raw, because they do
not compress) and, if there is room, the bytes of metafiles (JSON, compressed).

Tags are not trusted: what is read here is limited in size and checked in type,
and what it says is checked again before it is used.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from mlflow_dvc_plugin.errors import ManifestError
from mlflow_dvc_plugin.named_tuple import NamedTuple
from mlflow_dvc_plugin.state.entry import Entry, Kind, check_entry, check_text
from mlflow_dvc_plugin.state.program import Program, dump_program, load_program

VERSION = 1
MAX_ENTRIES = 300
PART_LENGTH = 4900  # characters; older MLflow servers stop at 5,000
MAX_PARTS = 16
MAX_INFLATED = 16 * 1024 * 1024  # bytes

_HEAD = struct.Struct(">8sII")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")
# More differences than this never fit, so it is not worth the time to try.
_MAX_CHANGED = 50 * MAX_ENTRIES
_MAX_DIFF = 4_096  # bytes of a program's diff, compressed
# A metafile that may contain an address or a secret never goes into a tag.
# `train@v1:` is a stage.
_PRIVATE = re.compile(rb"://|\burl\s*:|@[\w.-]+:(?=\S)", re.IGNORECASE)
_KINDS: tuple[Kind, ...] = ("plain", "import", "import-url", "cloud-versioned")
# The flags of an entry, from the lowest bit up. Its kind follows.
_FLAGS = ("isdir", "cached", "input", "isexec", "push")


class Manifest(NamedTuple):
    """A manifest; without `complete`, of the outs that differ from the commit's metafiles."""

    entries: tuple[Entry, ...]
    removed: tuple[str, ...] = ()  # paths that the commit's metafiles have and the state has not
    complete: bool = True
    metafiles: Mapping[str, bytes] = {}
    pipelines: Mapping[str, str] = {}  # the first 16 hex of the MD5 of each `dvc.yaml`
    program: Program | None = None


def build_manifest(
    entries: Sequence[Entry],
    commit_entries: Sequence[Entry] | None,
    metafiles: Mapping[str, bytes],
    room: int,
    *,
    reserved: int = 0,
    program: Program | None = None,
) -> tuple[list[str], Manifest | None]:
    """Write a state as parts of a manifest, of at most `room` characters together.

    `commit_entries` is what the commit's metafiles record, if that is known. The bytes of
    metafiles and the program's diff leave `reserved` characters of the room free.

    Returns:
        The parts, and what they contain; no parts and None if the state does not fit.
    """
    for base in _list_candidates(entries, commit_entries, metafiles):
        for manifest in _add_program(base, program):
            parts = dump(manifest)
            has_extras = manifest.metafiles or (manifest.program and manifest.program.diff)
            if sum(map(len, parts)) <= room - (reserved if has_extras else 0):
                return parts, manifest
    return [], None


def _add_program(manifest: Manifest, program: Program | None) -> Iterator[Manifest]:
    """The manifest with the program, first with its diff, and before that with less metafiles."""
    if program is None:
        yield manifest
        return
    if program.diff and len(zlib.compress(program.diff)) <= _MAX_DIFF:
        yield manifest._replace(program=program._replace(code="saved"))
        if manifest.metafiles:
            return  # the next one has no metafiles, and room for the diff
    yield manifest._replace(program=program._replace(diff=b""))


def _list_candidates(
    entries: Sequence[Entry], commit_entries: Sequence[Entry] | None, metafiles: Mapping[str, bytes]
) -> Iterator[Manifest]:
    """The possible manifests of a state, the one that says most first."""
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
    if len(entries) <= MAX_ENTRIES:
        whole = Manifest(tuple(entries), metafiles=public, pipelines=pipelines)
        yield from (whole, whole._replace(metafiles={}))
    if commit_entries is None:
        return
    before = {e.path: e for e in commit_entries}
    changed = tuple(e for e in entries if e._replace(input=False) != before.get(e.path))
    if len(changed) <= _MAX_CHANGED:
        touched = {e.metafile for e in changed}
        partial = Manifest(
            changed,
            tuple(sorted(before.keys() - {e.path for e in entries})),
            complete=False,
            metafiles={path: data for path, data in public.items() if path in touched},
            pipelines=pipelines,
        )
        yield from (partial, partial._replace(metafiles={}))


def dump(manifest: Manifest) -> list[str]:
    """Write a manifest as texts of at most 5,000 characters each."""
    columns, hashes, tables = _to_columns(manifest.entries)
    document = {
        "columns": columns,
        **tables,
        "removed": list(manifest.removed),
        "complete": manifest.complete,
        "pipelines": dict(manifest.pipelines),
    }
    if manifest.program is not None:
        document["program"] = dump_program(manifest.program)
    packed = _compress(document)
    metafiles = {path: data.decode("latin-1") for path, data in manifest.metafiles.items()}
    body = packed + hashes + (_compress(metafiles) if metafiles else b"")
    head = _HEAD.pack(_compute_checksum(body, len(packed), len(hashes)), len(packed), len(hashes))
    data = base64.b85encode(head + body).decode()
    count = 1
    while len(text := f"{VERSION}:{count}:{len(data)}:{data}") > count * PART_LENGTH:
        count += 1
    return [text[i : i + PART_LENGTH] for i in range(0, len(text), PART_LENGTH)]


def parse(parts: Sequence[str]) -> Manifest:
    """Read what :func:`dump` wrote, or raise a ManifestError."""
    return _parse(tuple(parts))


# What needs a run's outs first asks whether its manifest is complete, and then reads it.
@lru_cache(maxsize=4)
def _parse(parts: tuple[str, ...]) -> Manifest:
    if len(parts) > MAX_PARTS:
        raise ManifestError("it has too many parts")
    head, _, data = "".join(parts).partition(":")
    count, _, data = data.partition(":")
    length, _, data = data.partition(":")
    if not (head.isdecimal() and count.isdecimal() and length.isdecimal()) or len(length) > 9:
        raise ManifestError("it is not a manifest")
    if int(head) != VERSION:
        raise ManifestError(f"it has version {head[:9]}, but this release reads version {VERSION}")
    # The first releases counted a part too many if the last one was nearly full.
    if len(data) != int(length):
        raise ManifestError("it was cut off")
    try:
        raw = base64.b85decode(data)
        checksum, packed, hashed = _HEAD.unpack_from(raw)
    except (ValueError, struct.error) as err:
        raise ManifestError("it is damaged") from err
    body = raw[_HEAD.size :]
    if _compute_checksum(body, packed, hashed) != checksum:
        raise ManifestError("its checksum is wrong")
    try:
        return _interpret(body, packed, hashed)
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError, zlib.error) as err:
        raise ManifestError("it is damaged") from err


def _compute_checksum(body: bytes, packed: int, hashed: int) -> bytes:
    text = b"%d:%d:" % (packed, hashed)
    return hashlib.md5(text + body, usedforsecurity=False).digest()[:8]


def _to_columns(
    entries: Sequence[Entry],
) -> tuple[list[list[Any]], bytes, dict[str, list[str | None]]]:
    """The columns of the entries, their MD5 hashes, and the tables that columns refer to."""
    stages: dict[str | None, int] = {}
    files: dict[str | None, int] = {}
    names: dict[str | None, int] = {}
    rows: list[list[Any]] = []
    hashes = bytearray()
    for e in entries:
        value: str | int | None = e.hash
        if e.hash and _MD5.match(e.hash):
            value = len(e.hash) - 32  # 0 or 4: the hash itself is among the raw ones
            hashes += bytes.fromhex(e.hash[:32])
        flags = sum(1 << bit for bit, name in enumerate(_FLAGS) if getattr(e, name))
        rows.append(
            [
                e.path,
                value,
                e.size,
                e.nfiles,
                flags + (_KINDS.index(e.kind) << len(_FLAGS)),
                names.setdefault(e.hash_name, len(names)),
                stages.setdefault(e.stage, len(stages)),
                -1 if e.metafile == f"{e.path}.dvc" else files.setdefault(e.metafile, len(files)),
                names.setdefault(e.remote, len(names)),
            ]
        )
    columns = [list(column) for column in zip(*rows, strict=True)]
    tables = {"stages": list(stages), "files": list(files), "names": list(names)}
    return columns, bytes(hashes), tables


def _interpret(body: bytes, packed: int, hashed: int) -> Manifest:
    document = _decompress(body[:packed])
    hashes = re.findall(r".{32}", body[packed : packed + hashed].hex())[::-1]
    files, names, stages = document["files"], document["names"], document["stages"]
    entries = []
    for path, value, size, nfiles, bits, name, stage, metafile, remote in zip(
        *document["columns"], strict=True
    ):
        flags = {flag: bool(bits & 1 << bit) for bit, flag in enumerate(_FLAGS)}
        entry = Entry(
            path=path,
            hash_name=names[name],
            hash=hashes.pop() + ".dir"[:value] if isinstance(value, int) else value,
            size=size,
            nfiles=nfiles,
            stage=stages[stage],
            metafile=f"{path}.dvc" if metafile == -1 else files[metafile],
            remote=names[remote],
            kind=_KINDS[bits >> len(_FLAGS)],
            **flags,
        )
        check_entry(entry)
        entries.append(entry)
    metafiles = _decompress(body[packed + hashed :]) if len(body) > packed + hashed else {}
    removed, pipelines = document["removed"], document["pipelines"]
    program = document.get("program")
    return Manifest(
        entries=tuple(entries),
        removed=tuple(check_text(path) for path in removed),
        complete=_check_type(document["complete"], bool),
        metafiles={path: text.encode("latin-1") for path, text in metafiles.items()},
        pipelines={path: check_text(md5) for path, md5 in pipelines.items()},
        program=None if program is None else load_program(program),
    )


def _compress(document: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)


def _decompress(data: bytes) -> dict[str, Any]:
    decompressor = zlib.decompressobj()
    text = decompressor.decompress(data, MAX_INFLATED)
    if not decompressor.eof:
        raise ManifestError("it was cut off, or it decompresses to more than 16 MiB")
    document: dict[str, Any] = _check_type(json.loads(text), dict)
    return document


def _check_type(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")
    return value
