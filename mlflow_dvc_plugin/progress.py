"""How work that takes a while tells how far it is."""

from __future__ import annotations


class Progress:
    """Hears of progress and keeps it to itself; the command line draws it."""

    def begin(self, what: str, files: int) -> None:
        """A new phase: its name, and how many files it has.

        Without files (0), what is counted is what the name says, and has no known end.
        """

    def advance(self, files: int = 0, size: int = 0) -> None:
        """So many more files and bytes are done."""
