"""Tags of model versions: which data made them, as their runs recorded it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.errors import RunNotFoundError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.model_tags import RUN, is_model_tag, select_model_tags
from mlflow_dvc_plugin.tag_request import find_active_tags
from mlflow_dvc_plugin.tracking.lookup import get_run
from mlflow_dvc_plugin.tracking.models import Model, Registry

_MAX_RUNS = 10_000  # whose tags are remembered


@dataclass(frozen=True)
class LinkedModel:
    """A model version with the tags that it gets, or the reason why it gets none.

    Attributes:
        changed: it did not have all of the tags.
    """

    model: Model
    tags: Mapping[str, str] = field(default_factory=dict)
    changed: bool = False
    skipped: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        reason = {"skipped": self.skipped} if self.skipped else {}
        return {
            **self.model.to_dict(),
            "data_hash": self.tags.get("dvc.data_hash"),
            "changed": self.changed,
            **reason,
        }


def link_models(
    *, dry_run: bool, tracking_uri: str | None, progress: Progress
) -> Iterator[LinkedModel]:
    """Give each version of each registered model the data tags of the run that it comes from.

    A version that has them is left alone, so that a call which was interrupted can be
    repeated. What a version says about its data and its run does not, is removed.
    """
    registry = Registry(tracking_uri)
    runs: dict[str, dict[str, str] | str] = {}
    progress.begin("Linking model versions", 0)
    for model in registry.list_versions():
        progress.advance(files=1)
        if model.run_id not in runs:
            if len(runs) >= _MAX_RUNS:
                runs.clear()
            runs[model.run_id] = _read_tags(model.run_id, tracking_uri)
        tags = runs[model.run_id]
        if isinstance(tags, str):
            yield LinkedModel(model, skipped=tags)
            continue
        new = {key: value for key, value in tags.items() if model.tags.get(key) != value}
        stale = [key for key in model.tags if (is_model_tag(key) or key == RUN) and key not in tags]
        if not dry_run:
            registry.write_tags(model, new, stale)
        yield LinkedModel(model, tags, changed=bool(new or stale))


def _read_tags(run_id: str, tracking_uri: str | None) -> dict[str, str] | str:
    """The tags for the versions that come from a run, or why there are none."""
    if not run_id:
        return "it does not say which run it comes from"
    try:
        run = get_run(run_id, tracking_uri, even_deleted=True)
    except RunNotFoundError:
        return f"its run {run_id} is not in this MLflow store"
    return select_model_tags(run.tags, run_id) or f"its run {run_id} recorded no data"


def build_version_tags(
    source: str, run_id: str | None, known: Mapping[str, str], tracking_uri: str | None
) -> dict[str, str]:
    """The data tags for a version of a registered model: those of the run that it comes from.

    Args:
        source: where MLflow takes the model from.
        run_id: the run; None if only `source` names it.
        known: the run's tags if autologging knows them. MLflow is asked only for other runs.
        tracking_uri: the MLflow store.
    """
    if not run_id and source.startswith("models:/"):
        run_id = Registry(tracking_uri).find_model(source).run_id
    if not run_id:
        return {}
    tags = select_model_tags(find_active_tags(run_id) or known, run_id)
    return tags or select_model_tags(get_run(run_id, tracking_uri).tags, run_id)
