"""An undo record: how the workspace was before a restore, as a value and as JSON."""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring.files.paths import is_reserved
from mlflow_dvc_plugin.state.objects import Obj

_VERSION = 1


class UndoRecord(NamedTuple):
    """How the workspace was before a restore, or before an undo.

    Attributes:
        record_id: names the record; later ones sort after earlier ones.
        files: what each changed path held; None for nothing.
        modes: the permissions of those files, and of the metafiles.
        metafiles: the bytes of each changed metafile; None for no file.
        outs: the outs that the files belong to, which a result reports on.
        folders: those of the outs that were folders.
        done: the restore was completed.
        written: the digest of what became of each metafile; None for no file.
        takes_back: names the record that an undo took back; empty for a restore.
    """

    record_id: str
    run_id: str
    files: Mapping[str, Obj | None]
    modes: Mapping[str, int]
    metafiles: Mapping[str, bytes | None]
    outs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    done: bool = True
    written: Mapping[str, str | None] = MappingProxyType({})
    takes_back: str = ""

    @property
    def is_undo(self) -> bool:
        """It was made by an undo, not by a restore."""
        return bool(self.takes_back)


def join_records(older: UndoRecord, newer: UndoRecord, *, prefer: UndoRecord) -> UndoRecord:
    """Join two records into one; `prefer` is the one that counts for a path that both have."""
    other = older if prefer is newer else newer
    return newer._replace(
        files={**other.files, **prefer.files},
        modes={**other.modes, **prefer.modes},
        metafiles={**other.metafiles, **prefer.metafiles},
        outs=tuple(dict.fromkeys(newer.outs + older.outs)),
        folders=tuple(sorted({*newer.folders} - {*older.outs} | {*older.folders})),
        written={**older.written, **newer.written},
    )


def to_digest(data: bytes | None) -> str | None:
    """Make the digest of a metafile's bytes; None for no file."""
    return None if data is None else Obj.from_bytes(data).value


def to_document(record: UndoRecord) -> dict[str, Any]:
    """Make the JSON document of a record."""
    modes, metafiles = record.modes, record.metafiles
    return {
        "version": _VERSION,
        "run_id": record.run_id,
        "files": {
            path: [*obj, modes.get(path)] if obj else None for path, obj in record.files.items()
        },
        "outs": list(record.outs),
        "folders": list(record.folders),
        "done": record.done,
        "wrote": dict(record.written),
        "takes_back": record.takes_back,
        "metafiles": {
            path: None if data is None else base64.b64encode(data).decode()
            for path, data in metafiles.items()
        },
        "modes": {path: modes[path] for path in metafiles if path in modes},
    }


def from_json(text: str, record_id: str) -> UndoRecord:
    """Read a record from JSON."""
    try:
        document: Any = json.loads(text)
        if document["version"] != _VERSION:
            raise RestoreError(
                f"Undo record {record_id} was written by another release of mlflow-dvc-plugin. "
                "Undo it with that release."
            )
        files, metafiles = document["files"], document["metafiles"]
        if not all(map(_is_inside, (*files, *metafiles, *document["folders"]))):
            raise ValueError("a path leads out of the project")
        modes = {p: int(row[2]) for p, row in files.items() if row and row[2:] not in ([], [None])}
        return UndoRecord(
            record_id,
            document["run_id"],
            {path: Obj(*row[:2]) if row else None for path, row in files.items()},
            modes | document.get("modes", {}),
            {p: None if data is None else base64.b64decode(data) for p, data in metafiles.items()},
            tuple(document["outs"]),
            tuple(document["folders"]),
            document["done"],
            document.get("wrote", {}),
            document.get("takes_back", ""),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as err:
        raise RestoreError(f"Undo record {record_id} cannot be read: {err!r}.") from err


def _is_inside(path: str) -> bool:
    return (
        posixpath.normpath(path) == path
        and path[:1] != "/"
        and path.split("/", maxsplit=1)[0] != ".."
        # A record may have come with the project, and no restore writes there.
        and not is_reserved(path)
    )
