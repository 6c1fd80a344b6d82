"""What DVC's state database records of a file: its hash, and the stat that it had then.

The format is that of ``dvc_data.hashfile.state``. A record proves itself, since it
holds a digest of the very stat that the file must have.
"""

from __future__ import annotations

import json
import os
from hashlib import md5


def compute_checksum(info: os.stat_result) -> str:
    """DVC's digest of a file's inode, mtime and size."""
    text = f"([{info.st_ino}, {info.st_mtime!r}, {info.st_size}],)"
    return str(int(md5(text.encode(), usedforsecurity=False).hexdigest(), 16))


def parse_record(value: str, digest: str) -> tuple[str, str] | None:
    """The name and value of the hash in a record; None if it is of another stat."""
    if digest not in value:
        return None
    try:
        record = json.loads(value)
        if record["checksum"] != digest or record.get("version", 1) > 1:
            return None
        ((name, found),) = record["hash_info"].items()
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    if name == "md5" and "version" not in record:
        name = "md5-dos2unix"
    return name, str(found)


def has_hash(value: str, digest: str, expected: str) -> bool:
    """Does a record plainly give a file of this stat the MD5 `expected`?"""
    # Ten times faster than to read the JSON, which settles all other cases.
    return (
        f'"{digest}"' in value
        and '"version"' in value
        and (f'"md5": "{expected}"' in value or f'"md5":"{expected}"' in value)
    )
