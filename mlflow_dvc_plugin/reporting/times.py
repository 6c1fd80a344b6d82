"""Times of runs, in UTC: the same for all readers, and on each machine that makes a report."""

from __future__ import annotations

from datetime import datetime, timezone


def format_utc(milliseconds: int | None) -> str:
    """ISO 8601 for programs; empty for none."""
    if milliseconds is None:
        return ""
    moment = _to_moment(milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_minute(milliseconds: int) -> str:
    """Date and time for people."""
    return _to_moment(milliseconds).strftime("%Y-%m-%d %H:%M")


def format_day(milliseconds: int) -> str:
    """The date for people."""
    return _to_moment(milliseconds).strftime("%Y-%m-%d")


def _to_moment(milliseconds: int) -> datetime:
    # A store may have any number.
    return datetime.fromtimestamp(
        min(max(milliseconds, 0), 253_402_300_799_000) / 1000, timezone.utc
    )
