"""The progress of work that takes a while."""

from __future__ import annotations


class Progress:
    """Takes reports of progress and ignores them; the command line draws them."""

    def begin(self, what: str, files: int) -> None:
        """Start a phase of so many files.

        With 0 files, the name says what is counted, and the end is not known.
        """

    def advance(self, files: int = 0, size: int = 0) -> None:
        """Report files and bytes that are done."""

    def end(self) -> None:
        """Something else uses the terminal now, until the next phase."""
