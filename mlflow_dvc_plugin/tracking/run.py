"""One MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_dvc_plugin.tracking.models import Model


@dataclass(frozen=True)
class Run:
    """One MLflow run; times are milliseconds since 1970 (UTC), `end_time` is None while it runs.

    If the user named a model, `model` is that model.
    """

    run_id: str
    name: str
    experiment_id: str
    start_time: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    status: str = ""
    end_time: int | None = None
    store: str = ""
    model: Model | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def modified(self) -> tuple[str, ...]:
        """The paths whose data was modified when the run started, and was not saved."""
        return self._read_paths("dvc.modified") if self._status == "modified" else ()

    @property
    def saved(self) -> tuple[str, ...]:
        """The paths whose data was modified when the run started, and was saved."""
        return self._read_paths("dvc.modified") if self._status != "modified" else ()

    @property
    def changed(self) -> tuple[str, ...]:
        """The paths whose data changed while the run was running."""
        return self._read_paths("dvc.changed")

    @property
    def has_saved_data(self) -> bool:
        """Data was saved for the run that no metafile records."""
        return self._status == "saved" or bool(self.saved)

    @property
    def _status(self) -> str | None:
        return self.tags.get("dvc.status")

    def _read_paths(self, key: str) -> tuple[str, ...]:
        return tuple(filter(None, self.tags.get(key, "").split(",")))


def to_run(found: Any, client: Any) -> Run:
    """The run that an MLflow client returned."""
    info = found.info
    return Run(
        run_id=info.run_id,
        name=info.run_name or "",
        experiment_id=info.experiment_id,
        start_time=info.start_time or 0,
        tags=dict(found.data.tags),
        metrics=dict(found.data.metrics),
        status=info.status or "",
        end_time=info.end_time,
        store=client.tracking_uri or "",
        params=dict(found.data.params),
    )
