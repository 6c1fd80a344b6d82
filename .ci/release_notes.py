#!/usr/bin/env python3
"""Print what CHANGELOG.md says of one version: .ci/release_notes.py VERSION."""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def read_notes(changelog: str, version: str) -> str:
    """The part of a changelog below the heading of a version.

    Raises:
        LookupError: the version has no part with a date, or it is empty.
    """
    parts = re.split(r"^## \[(.+?)\](.*)$", changelog, flags=re.MULTILINE)
    for name, date, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        if name == version and re.fullmatch(r" - \d{4}-\d\d-\d\d", date) and text.strip():
            return text.strip()
    raise LookupError(
        f"CHANGELOG.md has nothing below `## [{version}] - YEAR-MONTH-DAY`. Name there what is new."
    )


if __name__ == "__main__":
    try:
        sys.stdout.write(read_notes(CHANGELOG.read_text(encoding="utf-8"), sys.argv[1]) + "\n")
    except LookupError as err:
        sys.exit(str(err.args[0]))
