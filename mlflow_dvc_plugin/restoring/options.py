"""What the user chose for a restore."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlflow_dvc_plugin.progress import Progress


@dataclass(frozen=True)
class Options:
    """What the user chose for a restore.

    Attributes:
        dry_run: change nothing, only find out what would be done.
        force: save content that is in the way in the cache, and go on.
        remote: the remote to fetch from; None for each out's own.
        jobs: how many objects to fetch at once; None for DVC's own choice.
        progress: is told of files and bytes.
    """

    dry_run: bool = False
    force: bool = False
    remote: str | None = None
    jobs: int | None = None
    progress: Progress = field(default_factory=Progress)
