"""What a restore replaced, so that it can be taken back.

A journal is one JSON file under ``.dvc/tmp/mlflow-dvc/undo``; the bytes of
data files are in the cache, those of metafiles in the journal itself.
"""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.objects import Obj

KEPT = 10
_VERSION = 1


class Journal(NamedTuple):
    """How the workspace was before a restore.

    Attributes:
        journal_id: names the journal; later ones sort after earlier ones.
        run_id: the run that was restored.
        files: what each changed path held; None for nothing.
        executable: those of the files that were executable.
        metafiles: the bytes of each changed metafile; None for no file.
        outs: the outs that the files belong to, to report on.
        folders: those of the outs that were folders.
        done: the restore came to its end.
        undoes: it was an undo itself.
    """

    journal_id: str
    run_id: str
    files: Mapping[str, Obj | None]
    executable: frozenset[str]
    metafiles: Mapping[str, bytes | None]
    outs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    done: bool = True
    undoes: bool = False


def new_id() -> str:
    """A name for a journal that sorts by time."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    day = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{day}.{rest:09d}-{uuid.uuid4().hex[:6]}"


def save(tmp_dir: str, journal: Journal) -> None:
    """Write a journal; only the newest ten are kept.

    Raises:
        OSError: it cannot be written.
    """
    folder = _folder(tmp_dir)
    os.makedirs(folder, exist_ok=True)
    document = {
        "version": _VERSION,
        "run_id": journal.run_id,
        "files": {path: list(obj) if obj else None for path, obj in journal.files.items()},
        "executable": sorted(journal.executable),
        "outs": list(journal.outs),
        "folders": list(journal.folders),
        "done": journal.done,
        "undoes": journal.undoes,
        "metafiles": {
            path: None if data is None else base64.b64encode(data).decode()
            for path, data in journal.metafiles.items()
        },
    }
    beside = os.path.join(folder, f".{journal.journal_id}.tmp")
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, os.path.join(folder, f"{journal.journal_id}.json"))
    for old in _names(folder)[:-KEPT]:
        os.unlink(os.path.join(folder, old))


def resumed(tmp_dir: str, journal: Journal) -> Journal:
    """The journal of a restore that goes on where a killed one stopped.

    What the killed one replaced is what an undo has to bring back.
    """
    try:
        last = newest(tmp_dir)
    except RestoreError:
        return journal
    if last.done:
        return journal
    return journal._replace(
        files={**journal.files, **last.files},
        executable=journal.executable - last.files.keys() | last.executable,
        metafiles={**journal.metafiles, **last.metafiles},
        outs=tuple(dict.fromkeys(journal.outs + last.outs)),
        folders=tuple(dict.fromkeys(journal.folders + last.folders)),
    )


def newest(tmp_dir: str) -> Journal:
    """The journal of the last restore.

    Raises:
        RestoreError: there is none, or it cannot be read.
    """
    names = _names(_folder(tmp_dir))
    if not names:
        raise RestoreError("There is nothing to undo: no restore was done in this project.")
    return _load(tmp_dir, names[-1])


def kept(tmp_dir: str) -> list[Journal]:
    """All journals that there are, the newest first.

    Raises:
        RestoreError: one cannot be read.
    """
    return [_load(tmp_dir, name) for name in reversed(_names(_folder(tmp_dir)))]


def since(tmp_dir: str, journal_id: str) -> Journal:
    """How the workspace was before a restore, whatever was restored or undone after it.

    Raises:
        RestoreError: there is no such journal, or one cannot be read.
    """
    journals = kept(tmp_dir)
    ids = [journal.journal_id for journal in journals]
    if journal_id not in ids:
        raise RestoreError(
            f"There is no record {journal_id!r} here: see `mlflow-dvc undo --list`. The last "
            f"{KEPT} are kept."
        )
    found, *older = journals[: ids.index(journal_id) + 1]
    for each in older:
        # Of each path, the oldest journal that has it tells how it was.
        found = each._replace(
            files={**found.files, **each.files},
            executable=found.executable - each.files.keys() | each.executable,
            metafiles={**found.metafiles, **each.metafiles},
            outs=tuple(dict.fromkeys(found.outs + each.outs)),
            folders=tuple({*found.folders} - {*each.outs} | {*each.folders}),
        )
    return found


def _load(tmp_dir: str, name: str) -> Journal:
    try:
        with open(os.path.join(_folder(tmp_dir), name), encoding="utf-8") as file:
            document: Any = json.load(file)
        if document["version"] != _VERSION:
            raise RestoreError("The restore was done by another release: use that to undo it.")
        return Journal(
            name.removesuffix(".json"),
            document["run_id"],
            {path: Obj(*obj) if obj else None for path, obj in document["files"].items()},
            frozenset(document["executable"]),
            {
                path: None if text is None else base64.b64decode(text)
                for path, text in document["metafiles"].items()
            },
            tuple(document["outs"]),
            tuple(document["folders"]),
            document["done"],
            document["undoes"],
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as err:
        raise RestoreError(f"The record of a restore cannot be read: {err!r}.") from err


def _folder(tmp_dir: str) -> str:
    return os.path.join(tmp_dir, "mlflow-dvc", "undo")


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except FileNotFoundError:
        return []
