"""The records in DVC's state database: the hash of a file, and its stat at that time.

The format is that of ``dvc_data.hashfile.state``. A record contains a checksum of
the stat, so it is valid only for a file with exactly that stat.
"""

from __future__ import annotations

import json
import os
from hashlib import md5


def compute_checksum(info: os.stat_result) -> str:
    """DVC's checksum of a file's inode, mtime and size."""
    text = f"([{info.st_ino}, {info.st_mtime!r}, {info.st_size}],)"
    return str(int(md5(text.encode(), usedforsecurity=False).hexdigest(), 16))


def parse_record(value: str, checksum: str) -> tuple[str, str] | None:
    """Name and value of the hash in a record; None if the record is for another stat."""
    if checksum not in value:
        return None
    try:
        record = json.loads(value)
        if record["checksum"] != checksum or record.get("version", 1) > 1:
            return None
        ((name, found),) = record["hash_info"].items()
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    if name == "md5" and "version" not in record:
        name = "md5-dos2unix"
    return name, str(found)


def has_hash(value: str, checksum: str, expected: str) -> bool:
    """Does a record contain the MD5 `expected` for this stat? If unsure, False."""
    # Ten times faster than to parse the JSON, which the caller does in all other cases.
    return (
        f'"{checksum}"' in value
        and '"version"' in value
        and (f'"md5": "{expected}"' in value or f'"md5":"{expected}"' in value)
    )
