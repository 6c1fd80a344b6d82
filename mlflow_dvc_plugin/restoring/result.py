"""What a restore did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RestoreResult:
    """What a restore did, or would do.

    Attributes:
        run_id: the run.
        source: where its state was read: ``manifest``, ``artifacts``,
            ``commit``; ``undo`` for an undo.
        added: outs that were not in the workspace.
        modified: outs that held something else.
        deleted: outs that an undo removed.
        unchanged: outs that were as they should be.
        files: number of files written or deleted.
        bytes: bytes written.
        verified: number of files that hold what they should, checked by hash.
        undo: names the record that `undo` uses; None where there is nothing
            to undo.
        metafiles: metafiles written or removed.
        kept: tracked paths of today that the run did not have, left alone.
        left: outs of the run that are not restored, and why.
        differed: restored outs of which the run's own workspace held something
            else than DVC had recorded: that is what comes back.
        dry_run: nothing was done.
        seconds: how long fetching and writing took.
    """

    run_id: str
    source: str
    added: list[str]
    modified: list[str]
    deleted: list[str]
    unchanged: list[str]
    files: int
    bytes: int
    verified: int
    undo: str | None
    metafiles: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    differed: list[str] = field(default_factory=list)
    dry_run: bool = False
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """All fields, as ``--json`` prints them."""
        return dict(vars(self))
