"""Setting the tags of an existing run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlflow_dvc_plugin.tracking.store import open_client, translate_errors

_TAGS_AT_ONCE = 100  # the most that MLflow takes


def write_tags(
    run_id: str,
    tags: Mapping[str, str],
    remove: Iterable[str] = (),
    tracking_uri: str | None = None,
) -> None:
    """Set tags of a run, and delete others."""
    client = open_client(tracking_uri)
    from mlflow.entities import RunTag

    items = [RunTag(key, value) for key, value in tags.items()]
    with translate_errors():
        for start in range(0, len(items), _TAGS_AT_ONCE):
            client.log_batch(run_id, tags=items[start : start + _TAGS_AT_ONCE])
        for key in remove:
            client.delete_tag(run_id, key)
