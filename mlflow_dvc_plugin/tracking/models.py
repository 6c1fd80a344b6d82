"""Models: versions of registered models, and the logged models of MLflow 3."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mlflow_dvc_plugin.errors import RunNotFoundError
from mlflow_dvc_plugin.tracking import store
from mlflow_dvc_plugin.tracking.search import find_experiment_ids

_URI = re.compile(r"models:/([^/@]+)(?:/([^/@]+)|@([^/@]+))?\Z")
_SAFE_NAME = re.compile(r"[^'\"\\]+")
_NOT_IN_NAMES = re.compile(r"[/:.%\"']")  # of logged models
_EXTERNAL = "mlflow.model.isExternal"
_PAGE = 1000  # versions
_RUNS_AT_ONCE = 100


@dataclass(frozen=True)
class Model:
    """A version of a registered model, or a logged model.

    Attributes:
        uri: ``models:/NAME/VERSION``, or ``models:/ID`` of a logged model.
        version: empty for a logged model.
        run_id: the run that it comes from; empty if it does not say.
        aliases: those that lead to this version, sorted.
        logged_id: of a version: the logged model that it was registered from, in MLflow 3.
    """

    uri: str
    name: str
    version: str
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    logged_id: str = ""

    def __str__(self) -> str:
        aliases = ", ".join(f"@{alias}" for alias in self.aliases)
        return f"{self.uri} ({aliases})" if aliases else self.uri

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        version = {"version": self.version} if self.version else {}
        aliases = list(self.aliases)
        return {
            "uri": self.uri,
            "name": self.name,
            "run_id": self.run_id,
            **version,
            "aliases": aliases,
        }


class Registry:
    """The models of an MLflow store."""

    def __init__(self, tracking_uri: str | None = None) -> None:
        self._client = store.open_client(tracking_uri)
        self._aliases: dict[str, dict[str, list[str]]] = {}

    def find_model(self, uri: str) -> Model:
        """The model that a URI means.

        Raises:
            RunNotFoundError: there is none.
        """
        match = _URI.match(uri)
        if match is None:
            raise RunNotFoundError(
                f"{uri!r} is not a model. Give models:/NAME/VERSION, models:/NAME/latest, "
                "models:/NAME@ALIAS or, in MLflow 3, models:/ID."
            )
        not_found = (
            f"There is no {uri} in the model registry. Check --tracking-uri or MLFLOW_TRACKING_URI."
        )
        name, version, alias = match.groups()
        with store.translate_errors(not_found):
            if alias:
                found = self._client.get_model_version_by_alias(name, alias)
            elif version and version.lower() == "latest":
                newest = self._search(_name_clause(name), "DESC", most=1)
                found = next((each for each in newest if each.name == name), None)
            elif version:
                found = self._client.get_model_version(name, version)
            elif hasattr(self._client, "get_logged_model"):
                return _to_logged_model(self._client.get_logged_model(name))
            else:  # MLflow 2 has no logged models.
                found = None
        if found is None:
            raise RunNotFoundError(not_found)
        return self._to_model(found)

    def list_versions(self, name: str | None = None) -> Iterator[Model]:
        """All versions, or those of one registered model, by name and version."""
        for found in self._search(_name_clause(name) if name else ""):
            if name in (None, found.name):
                yield self._to_model(found)

    def list_models(self, run_ids: Sequence[str]) -> Iterator[Model]:
        """The models that come from one of the runs: first logged models, then versions."""
        for start in range(0, len(run_ids), _RUNS_AT_ONCE):
            listed = ", ".join(f"'{run_id}'" for run_id in run_ids[start : start + _RUNS_AT_ONCE])
            yield from self._list_logged(f"source_run_id IN ({listed})")
            yield from map(self._to_model, self._search(f"run_id IN ({listed})"))

    def write_tags(self, model: Model, tags: Mapping[str, str], remove: Sequence[str]) -> None:
        """Set tags of a version of a registered model, and delete others."""
        with store.translate_errors():
            for key, value in tags.items():
                self._client.set_model_version_tag(model.name, model.version, key, value)
            for key in remove:
                self._client.delete_model_version_tag(model.name, model.version, key)

    def register_reference(
        self, name: str, source: str, run_id: str, experiment_id: str, tags: Mapping[str, str]
    ) -> Model:
        """Register a version of a model whose bytes are not in MLflow.

        Args:
            name: the registered model, which is created if there is none.
            source: where the bytes are. MLflow 3 has an external model in its place.
            run_id: the run that made it.
            experiment_id: the run's experiment.
            tags: of the version and of the external model.
        """
        client = self._client
        model = {}
        with store.translate_errors():
            if hasattr(client, "create_logged_model"):
                model_id = _create_external_model(client, name, run_id, experiment_id, tags)
                source, model = f"models:/{model_id}", {"model_id": model_id}
            quoted = _name_clause(name)
            if name not in [found.name for found in client.search_registered_models(quoted)]:
                client.create_registered_model(name)
            made = client.create_model_version(name, source, run_id, tags=dict(tags), **model)
        return self._to_model(made)

    def _list_logged(self, clause: str) -> Iterator[Model]:
        if not hasattr(self._client, "search_logged_models"):
            return  # MLflow 2 has none.
        ids = find_experiment_ids(self._client)
        for start in range(0, len(ids), store.EXPERIMENTS_AT_ONCE):
            some = ids[start : start + store.EXPERIMENTS_AT_ONCE]
            search = partial(self._client.search_logged_models, some, clause)
            yield from map(_to_logged_model, _read_pages(search))

    def _search(self, clause: str, direction: str = "ASC", most: int = _PAGE) -> Iterator[Any]:
        # Tags may be written meanwhile, so the order is not that of the last update.
        order = ["name ASC", f"version_number {direction}"]
        search = partial(
            self._client.search_model_versions, clause, max_results=most, order_by=order
        )
        return _read_pages(search)

    def _to_model(self, found: Any) -> Model:
        name, version = found.name, str(found.version)
        if name not in self._aliases:
            # A search does not return aliases.
            with store.translate_errors():
                by_alias = self._client.get_registered_model(name).aliases
            self._aliases[name] = {}
            for alias, target in sorted(by_alias.items()):
                self._aliases[name].setdefault(str(target), []).append(alias)
        aliases = tuple(self._aliases[name].get(version, ()))
        uri, tags = f"models:/{name}/{version}", dict(found.tags)
        run_id, logged_id = self._find_source_run(found), _find_logged_id(found)
        return Model(uri, name, version, run_id, tags, aliases, logged_id)

    def _find_source_run(self, found: Any) -> str:
        model_id = getattr(found, "model_id", None)
        if found.run_id or not model_id:
            return found.run_id or ""
        with store.translate_errors():
            return self._client.get_logged_model(model_id).source_run_id or ""


def _create_external_model(
    client: Any, name: str, run_id: str, experiment_id: str, tags: Mapping[str, str]
) -> str:
    """Create a logged model without artifacts, as MLflow's own function does; its id."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models.utils import get_external_mlflow_model_spec

    model = client.create_logged_model(
        experiment_id,
        name=_NOT_IN_NAMES.sub("_", name),
        source_run_id=run_id,
        tags={**tags, _EXTERNAL: "true"},
    )
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        # It says that MLflow does not have the bytes.
        get_external_mlflow_model_spec(model).save(os.path.join(folder, "MLmodel"))
        client.log_model_artifacts(model.model_id, folder)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return str(client.finalize_logged_model(model.model_id, "READY").model_id)


def _find_logged_id(version: Any) -> str:
    """The id of the logged model that a version was registered from; empty if it has none."""
    match = _URI.match(version.source or "")
    is_id = match is not None and not (match[2] or match[3])
    return getattr(version, "model_id", None) or (match[1] if match and is_id else "")


def _read_pages(search: Callable[..., Any]) -> Iterator[Any]:
    return store.read_pages(lambda token: search(page_token=token))


def _to_logged_model(found: Any) -> Model:
    uri = f"models:/{found.model_id}"
    return Model(uri, found.name, "", found.source_run_id or "", dict(found.tags))


def _name_clause(name: str) -> str:
    """The condition that a version has this name; the caller compares the names."""
    if _SAFE_NAME.fullmatch(name):
        return f"name = '{name}'"
    return "" if "'" in name and '"' in name else f'name = "{name}"'
