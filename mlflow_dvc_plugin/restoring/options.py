"""What the user chose for a restore."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlflow_dvc_plugin.progress import Progress


@dataclass(frozen=True)
class Options:
    """What the user chose for a restore, as `restore` explains."""

    dry_run: bool = False
    force: bool = False
    remote: str | None = None
    jobs: int | None = None
    progress: Progress = field(default_factory=Progress)
