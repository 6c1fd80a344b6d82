"""Tags of a run that is there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlflow_dvc_plugin.tracking.store import client_of, tracking_error

_TAGS_AT_ONCE = 100  # the most that MLflow takes


def write_tags(
    run_id: str,
    tags: Mapping[str, str],
    remove: Iterable[str] = (),
    tracking_uri: str | None = None,
) -> None:
    """Set tags of a run, and take others away.

    Raises:
        TrackingError: the store did not answer, or refused.
    """
    client = client_of(tracking_uri)
    from mlflow.entities import RunTag

    items = [RunTag(key, value) for key, value in tags.items()]
    try:
        for start in range(0, len(items), _TAGS_AT_ONCE):
            client.log_batch(run_id, tags=items[start : start + _TAGS_AT_ONCE])
        for key in remove:
            client.delete_tag(run_id, key)
    except Exception as err:
        raise tracking_error(err) from err
