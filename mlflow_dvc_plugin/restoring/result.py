"""What a restore did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RestoreResult:
    """What a restore did, or would do.

    Attributes:
        run_id: the run.
        source: where its state was read: ``manifest``, ``artifacts`` or
            ``commit``; ``undo`` for an undo.
        added: outs that did not exist in the workspace.
        modified: outs that held something else.
        deleted: outs that an undo deleted.
        unchanged: outs that were already as they must be.
        files: number of files written or deleted.
        bytes: bytes written.
        verified: number of files whose hash was verified.
        undo: names the undo record; None if there is nothing to undo.
        metafiles: metafiles written or deleted, and outs in Git that were written.
        kept: tracked paths that the run did not have, which stay as they are.
        left: outs of the run that are not restored, each with the reason.
        forgotten: paths that are not restored, because their objects were deleted on purpose,
            and when.
        untracked: restored data without a metafile: DVC does not track it.
        differed: restored outs of which the run itself read other content,
            which was never added to DVC: what DVC had recorded is restored.
        in_the_way: files with content that is saved nowhere else. With `force`
            it is saved first, else a restore refuses.
        refusal: why a restore would refuse, if this is a dry run.
        dry_run: nothing was changed.
        seconds: how long fetching and writing took.
    """

    run_id: str
    source: str
    added: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    verified: int = 0
    undo: str | None = None
    metafiles: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    forgotten: dict[str, str] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)
    differed: list[str] = field(default_factory=list)
    in_the_way: list[str] = field(default_factory=list)
    refusal: str | None = None
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def is_empty(self) -> bool:
        """No data of the run was restored, and none was there already."""
        outs = (self.added, self.modified, self.deleted, self.unchanged)
        return not any((self.files, self.metafiles, *outs))

    def to_dict(self) -> dict[str, Any]:
        """All fields, as ``--json`` prints them."""
        return dict(vars(self))
