"""The addresses of pages in MLflow's user interface."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from mlflow_dvc_plugin.tracking.models import Model
from mlflow_dvc_plugin.tracking.run import Run


class Pages:
    """The pages of an MLflow server; each address is empty if the store is not a server."""

    def __init__(self, store: str) -> None:
        try:
            parts = urlsplit(store)
        except ValueError:
            parts = urlsplit("")
        # A user's password stays out of what others may read.
        host = _quote(parts.netloc.rpartition("@")[2], ":[]")
        is_server = parts.scheme in ("http", "https") and bool(host)
        path = _quote(parts.path.rstrip("/"), "/")
        self._base = f"{parts.scheme}://{host}{path}/#" if is_server else ""

    def find_run(self, run: Run) -> str:
        """The page of a run."""
        return self._join("experiments", run.experiment_id, "runs", run.run_id)

    def find_model(self, model: Model, experiment_id: str) -> str:
        """The page of a version of a registered model, or of a logged model."""
        if model.version:
            return self._join("models", model.name, "versions", model.version)
        model_id = model.uri.removeprefix("models:/")
        return self._join("experiments", experiment_id, "models", model_id)

    def search(self, experiment_id: str, clause: str) -> str:
        """The list of an experiment's runs that meet a condition."""
        page = self._join("experiments", experiment_id, "runs")
        return page and f"{page}?searchFilter={_quote(clause)}"

    def _join(self, *parts: str) -> str:
        return self._base and "/".join([self._base, *(_quote(part) for part in parts)])


def _quote(text: str, safe: str = "") -> str:
    return quote(text, safe=safe, errors="replace")
