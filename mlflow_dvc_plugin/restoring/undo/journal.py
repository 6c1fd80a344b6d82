"""What a restore replaced, so that it can be taken back.

A journal is one JSON file under ``.dvc/tmp/mlflow-dvc/undo``; the bytes of
data files are in the cache, those of metafiles in the journal itself.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import json
import os
import posixpath
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.state.objects import Obj

KEPT = 10
_VERSION = 1
_NAME = re.compile(r"(\d{8}T\d{6})\.(\d{9})-[0-9a-f]{6}\.json\Z")


class Journal(NamedTuple):
    """How the workspace was before a restore.

    Attributes:
        journal_id: names the journal; later ones sort after earlier ones.
        run_id: the run that was restored.
        files: what each changed path held; None for nothing.
        modes: the permissions that those files had, and the metafiles.
        metafiles: the bytes of each changed metafile; None for no file.
        outs: the outs that the files belong to, to report on.
        folders: those of the outs that were folders.
        done: the restore came to its end.
        wrote: the digest of what became of each metafile; None for no file.
        takes_back: names the journal that it took back; empty for a restore.
    """

    journal_id: str
    run_id: str
    files: Mapping[str, Obj | None]
    modes: Mapping[str, int]
    metafiles: Mapping[str, bytes | None]
    outs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    done: bool = True
    wrote: Mapping[str, str | None] = MappingProxyType({})
    takes_back: str = ""

    @property
    def undoes(self) -> bool:
        """It was an undo itself."""
        return bool(self.takes_back)


def new_id(tmp_dir: str) -> str:
    """A name for a journal that sorts after all that there are, even if the clock was set back."""
    now = time.time_ns()
    for name in _names(_folder(tmp_dir))[-1:]:
        day, rest = name[:15], name[16:25]
        last = calendar.timegm(time.strptime(day, "%Y%m%dT%H%M%S")) * 10**9 + int(rest)
        now = max(now, last + 1)
    seconds, fraction = divmod(now, 10**9)
    day = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{day}.{fraction:09d}-{uuid.uuid4().hex[:6]}"


def save(tmp_dir: str, journal: Journal) -> None:
    """Write a journal; of those before one that is done, only the newest are kept.

    Raises:
        OSError: it cannot be written.
    """
    folder = _folder(tmp_dir)
    os.makedirs(folder, exist_ok=True)
    document = {
        "version": _VERSION,
        "run_id": journal.run_id,
        "files": {
            path: [*obj, journal.modes.get(path)] if obj else None
            for path, obj in journal.files.items()
        },
        "outs": list(journal.outs),
        "folders": list(journal.folders),
        "done": journal.done,
        "wrote": dict(journal.wrote),
        "takes_back": journal.takes_back,
        "metafiles": {
            path: None if data is None else base64.b64encode(data).decode()
            for path, data in journal.metafiles.items()
        },
        "modes": {path: journal.modes[path] for path in journal.metafiles if path in journal.modes},
    }
    beside = os.path.join(folder, f".{journal.journal_id}.tmp")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, os.path.join(folder, f"{journal.journal_id}.json"))
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)
    for old in _names(folder)[:-KEPT] if journal.done else ():
        os.unlink(os.path.join(folder, old))


def resumed(tmp_dir: str, journal: Journal) -> Journal:
    """The journal of a restore that goes on where the same one was killed.

    What is right by now needs no change: it is the killed one that knows how
    that was. What does need one was not reached, or somebody changed it since.
    """
    try:
        last = newest(tmp_dir)
    except RestoreError:
        return journal
    same = (last.run_id, last.takes_back) == (journal.run_id, journal.takes_back)
    return journal if last.done or not same else _joined(last, journal, by_path=journal)


def is_pending(tmp_dir: str, takes_back: str) -> bool:
    """An undo was killed before it could say that it was done."""
    try:
        found = newest(tmp_dir)
    except RestoreError:
        return False
    return not found.done and found.undoes and found.takes_back == takes_back


def _joined(older: Journal, newer: Journal, by_path: Journal) -> Journal:
    """Two journals as one; where both have a path, the one that is named tells of it."""
    other = older if by_path is newer else newer
    return newer._replace(
        files={**other.files, **by_path.files},
        modes={**other.modes, **by_path.modes},
        metafiles={**other.metafiles, **by_path.metafiles},
        outs=tuple(dict.fromkeys(newer.outs + older.outs)),
        folders=tuple(sorted({*newer.folders} - {*older.outs} | {*older.folders})),
        wrote={**older.wrote, **newer.wrote},
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


def before(tmp_dir: str, record: str | None) -> Journal:
    """How the workspace was before a restore.

    Args:
        tmp_dir: the project's folder for temporary files.
        record: names the restore; None for the last one, or for that which a
            killed undo did not take back whole.

    Raises:
        RestoreError: there is none, or it cannot be read.
    """
    if record:
        return since(tmp_dir, record)
    found = newest(tmp_dir)
    known = {journal.journal_id for journal in kept(tmp_dir)}
    if found.done or found.takes_back not in known:
        return found
    return since(tmp_dir, found.takes_back)


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
        found = _joined(each, found, by_path=each)
    return found._replace(journal_id=journal_id, run_id=journals[ids.index(journal_id)].run_id)


def digest(data: bytes | None) -> str | None:
    """What tells a metafile's bytes from others; None for no file."""
    return None if data is None else hashlib.md5(data, usedforsecurity=False).hexdigest()


def _load(tmp_dir: str, name: str) -> Journal:
    try:
        with open(os.path.join(_folder(tmp_dir), name), encoding="utf-8") as file:
            document: Any = json.load(file)
        if document["version"] != _VERSION:
            raise RestoreError("The restore was done by another release: use that to undo it.")
        files = document["files"]
        if not all(map(_is_inside, (*files, *document["metafiles"], *document["folders"]))):
            raise ValueError("a path leads out of the project")
        return Journal(
            name.removesuffix(".json"),
            document["run_id"],
            {path: Obj(*row[:2]) if row else None for path, row in files.items()},
            {
                path: int(row[2])
                for path, row in files.items()
                if row and row[2:] not in ([], [None])
            }
            | document.get("modes", {}),
            {
                path: None if text is None else base64.b64decode(text)
                for path, text in document["metafiles"].items()
            },
            tuple(document["outs"]),
            tuple(document["folders"]),
            document["done"],
            document.get("wrote", {}),
            document.get("takes_back", ""),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as err:
        raise RestoreError(f"The record of a restore cannot be read: {err!r}.") from err


def _folder(tmp_dir: str) -> str:
    return os.path.join(tmp_dir, "mlflow-dvc", "undo")


def _names(folder: str) -> list[str]:
    try:
        return sorted(filter(_NAME.match, os.listdir(folder)))
    except FileNotFoundError:
        return []


def _is_inside(path: str) -> bool:
    return (
        posixpath.normpath(path) == path
        and path[:1] != "/"
        and path.split("/", maxsplit=1)[0] != ".."
    )
