"""How much the slow proofs try: a little in every run, a lot with ``--full``."""

from __future__ import annotations

full = False  # set before any test module is imported


def bounded(few: int, many: int) -> int:
    """How many examples, kills, lives or processes: `many` with ``--full``, else `few`."""
    return many if full else few
