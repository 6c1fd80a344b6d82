"""Store undo records on the disk.

A record is one JSON file in ``.dvc/tmp/mlflow-dvc/undo``. The bytes of data
files are in the cache, and those of metafiles in the record itself. In each
function, `tmp_dir` is the project's folder for temporary files.
"""

from __future__ import annotations

import calendar
import json
import os
import re
import time
import uuid
from contextlib import suppress

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring.undo_records.record import (
    UndoRecord,
    from_json,
    join_records,
    to_document,
)

MAX_RECORDS = 10
_NAME = re.compile(r"(\d{8}T\d{6})\.(\d{9})-[0-9a-f]{6}\.json\Z")


def make_id(tmp_dir: str) -> str:
    """Make a name that sorts after those of all records, even if the clock was set back."""
    now = time.time_ns()
    for name in _list_names(tmp_dir)[-1:]:
        day, fraction = name[:15], name[16:25]
        last = calendar.timegm(time.strptime(day, "%Y%m%dT%H%M%S")) * 10**9 + int(fraction)
        now = max(now, last + 1)
    seconds, rest = divmod(now, 10**9)
    day = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{day}.{rest:09d}-{uuid.uuid4().hex[:6]}"


def save_record(tmp_dir: str, record: UndoRecord) -> None:
    """Write a record; if it is done, delete all but the newest ones."""
    folder = _folder(tmp_dir)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{record.record_id}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(to_document(record), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, os.path.join(folder, f"{record.record_id}.json"))
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    for name in _list_names(tmp_dir)[:-MAX_RECORDS] if record.done else ():
        os.unlink(os.path.join(folder, name))


def resume_record(tmp_dir: str, record: UndoRecord) -> UndoRecord:
    """Complete the record of a restore that continues one that was killed.

    What is right by now is in no plan any more: only the killed restore's
    record tells how it was. What has to change now was not reached then, or was
    changed since, so the new record counts.
    """
    last = find_newest(tmp_dir)
    if last is None or last.done:
        return record
    if (last.run_id, last.takes_back) != (record.run_id, record.takes_back):
        return record
    return join_records(last, record, prefer=record)


def is_pending(tmp_dir: str, takes_back: str) -> bool:
    """Tell whether an undo of a record was killed before it was marked as done."""
    last = find_newest(tmp_dir)
    return last is not None and not last.done and last.takes_back == takes_back != ""


def find_newest(tmp_dir: str) -> UndoRecord | None:
    """Find the record of the last restore; None if there is none, or it cannot be read."""
    try:
        return next(iter(list_records(tmp_dir, limit=1)), None)
    except RestoreError:
        return None


def find_record(tmp_dir: str, record_id: str | None) -> UndoRecord:
    """Find out how the workspace was before a restore, whatever was done after it.

    Without an id, this is the last restore, or the one that a killed undo did
    not take back completely.
    """
    records = list_records(tmp_dir)
    ids = [record.record_id for record in records]
    if not record_id:
        if not records:
            raise RestoreError("There is nothing to undo: no restore was done in this project.")
        last = records[0]
        if last.done or last.takes_back not in ids:
            return last
        record_id = last.takes_back
    if record_id not in ids:
        raise RestoreError(
            f"There is no undo record {record_id!r}. `mlflow-dvc undo --list` shows the last "
            f"{MAX_RECORDS}."
        )
    joined, *older = records[: ids.index(record_id) + 1]
    for record in older:
        # For each path, the oldest record that has it tells how it was.
        joined = join_records(record, joined, prefer=record)
    return joined._replace(record_id=record_id, run_id=records[ids.index(record_id)].run_id)


def list_records(tmp_dir: str, limit: int | None = None) -> list[UndoRecord]:
    """List the records, the newest first."""
    records = []
    for name in _list_names(tmp_dir)[::-1][:limit]:
        record_id = name.removesuffix(".json")
        try:
            with open(os.path.join(_folder(tmp_dir), name), encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeError) as err:
            raise RestoreError(f"Undo record {record_id} cannot be read: {err!r}.") from err
        records.append(from_json(text, record_id))
    return records


def _folder(tmp_dir: str) -> str:
    return os.path.join(tmp_dir, "mlflow-dvc", "undo")


def _list_names(tmp_dir: str) -> list[str]:
    try:
        return sorted(filter(_NAME.match, os.listdir(_folder(tmp_dir))))
    except FileNotFoundError:
        return []
