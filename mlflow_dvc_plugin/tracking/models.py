"""The models that runs made: logged models, and registered versions with their aliases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mlflow_dvc_plugin.tracking import store
from mlflow_dvc_plugin.tracking.search import find_experiment_ids

_AT_ONCE = 100  # run ids in a filter


@dataclass(frozen=True)
class Model:
    """A model of a run.

    Attributes:
        uri: ``models:/ID`` of a logged model, ``models:/NAME/VERSION`` of a registered one.
        aliases: of the registered version.
    """

    uri: str
    name: str
    run_id: str
    aliases: tuple[str, ...] = ()


def find_models(run_ids: Sequence[str], tracking_uri: str | None = None) -> Iterator[Model]:
    """The models whose source is one of the runs, from as many pages as there are."""
    client = store.open_client(tracking_uri)
    for start in range(0, len(run_ids), _AT_ONCE):
        listed = ", ".join(f"'{run_id}'" for run_id in run_ids[start : start + _AT_ONCE])
        yield from _find_logged(client, f"source_run_id IN ({listed})")
        yield from _find_registered(client, f"run_id IN ({listed})")


def _find_logged(client: Any, clause: str) -> Iterator[Model]:
    if not hasattr(client, "search_logged_models"):
        return  # MLflow 2 has none.
    ids = find_experiment_ids(client)
    for start in range(0, len(ids), store.EXPERIMENTS_AT_ONCE):
        some = ids[start : start + store.EXPERIMENTS_AT_ONCE]
        fetch = partial(client.search_logged_models, some, clause)
        for found in _read_pages(fetch):
            yield Model(f"models:/{found.model_id}", found.name, found.source_run_id)


def _find_registered(client: Any, clause: str) -> Iterator[Model]:
    aliases: dict[str, dict[str, str]] = {}
    for found in _read_pages(partial(client.search_model_versions, clause)):
        if found.name not in aliases:
            with store.translate_errors():
                # A search returns versions without their aliases.
                aliases[found.name] = client.get_registered_model(found.name).aliases
        its = (alias for alias, version in aliases[found.name].items() if version == found.version)
        uri = f"models:/{found.name}/{found.version}"
        yield Model(uri, found.name, found.run_id, tuple(sorted(its)))


def _read_pages(fetch: Callable[..., Any]) -> Iterator[Any]:
    return store.read_pages(lambda token: fetch(page_token=token))
