"""Numbers with their units, for people."""

from __future__ import annotations


def format_count(number: int, noun: str) -> str:
    """A number with its noun: ``1 file``, ``1,024 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_size(number: int | None) -> str:
    """A number of bytes in a readable unit: ``41.2 kB``; a dash if it is not known."""
    if number is None:
        return "-"
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_number(value: float | None) -> str:
    """A metric: six digits that count; a dash if it is not known."""
    return "-" if value is None else f"{value:.6g}"
