"""The tag ``dvc.forgotten``: how many objects of a run were deleted on purpose, and when.

It has no hash and no path. ``2 objects, 2026-11-26`` is the usual form; the last date
follows a ``to`` if there were several deletions. While a deletion has not ended, the tag
says ``deleting 1 object since 2026-11-26``, after what was deleted before, if anything was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlflow_dvc_plugin.named_tuple import NamedTuple

FORGOTTEN = "dvc.forgotten"

_DATE = r"(\d{4}-\d\d-\d\d)"
_NUMBER = r"(\d{1,9}) objects?"
_DELETED = rf"{_NUMBER}, {_DATE}(?: to {_DATE})?"
_DELETING = rf"deleting {_NUMBER} since {_DATE}"
_TAG = re.compile(rf"(?:{_DELETED})?(?:; (?=d))?(?:{_DELETING})?", re.ASCII)


class Forgotten(NamedTuple):
    """What was deleted of a run on purpose; dates are ``YYYY-MM-DD`` in UTC.

    Attributes:
        deleted: how many objects were deleted.
        first: the date of the first deletion; empty if none has ended.
        last: the date of the last one.
        deleting: how many more are being deleted, or were until that was interrupted.
        since: the date when this began.
    """

    deleted: int = 0
    first: str = ""
    last: str = ""
    deleting: int = 0
    since: str = ""

    @property
    def total(self) -> int:
        """How many objects were deleted, or are being deleted."""
        return self.deleted + self.deleting

    def explains(self, missing: int) -> bool:
        """Were so many objects, which are nowhere, all deleted on purpose?"""
        return 0 < missing <= self.total

    def begin(self, count: int, date: str) -> Forgotten:
        """Note that the deletion of so many objects begins, or that an interrupted one goes on."""
        return self._replace(deleting=max(count, self.deleting), since=self.since or date)

    def finish(self, date: str) -> Forgotten:
        """Note that what was being deleted is deleted."""
        return Forgotten(self.total, self.first or date, date)

    def describe(self) -> str:
        """Say when: ``forgotten on 2026-11-26``."""
        if not self.deleted:
            return f"being forgotten since {self.since}"
        last = self.since or self.last
        if self.first == last:
            return f"forgotten on {last}"
        return f"forgotten between {self.first} and {last}"

    def describe_some(self) -> str:
        """A sentence that says how many objects were deleted; empty if none was."""
        if not self.total:
            return ""
        verb = "was" if self.total == 1 else "were"
        return f"{_count(self.total)} of the run {verb} {self.describe()}. "

    def to_tag(self) -> str:
        """The value of the tag."""
        parts = []
        if self.deleted:
            until = f" to {self.last}" if self.last != self.first else ""
            parts.append(f"{_count(self.deleted)}, {self.first}{until}")
        if self.deleting:
            parts.append(f"deleting {_count(self.deleting)} since {self.since}")
        return "; ".join(parts)


NOTHING_FORGOTTEN = Forgotten()


def read_forgotten(tags: Mapping[str, str]) -> Forgotten:
    """Read the tag of a run; nothing was forgotten if it has none, or one with another meaning."""
    match = _TAG.fullmatch(tags.get(FORGOTTEN, ""))
    if match is None:
        return NOTHING_FORGOTTEN
    deleted, first, last, deleting, since = match.groups("")
    return Forgotten(int(deleted or 0), first, last or first, int(deleting or 0), since)


def _count(number: int) -> str:
    return f"{number} object{'' if number == 1 else 's'}"
