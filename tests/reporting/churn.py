"""A project with a pipeline of two stages, runs on versions of its data, and their models.

``data/raw`` → prepare → ``data/processed`` → train → ``model.pkl``
"""

from __future__ import annotations

import hashlib

import mlflow
import pytest

from mlflow_dvc_plugin.capturing.workspace.status import forget_folder_verdicts
from tests.history import History, mlflow_dvc
from tests.project import Project

PIPELINE = """\
stages:
  prepare:
    cmd: mkdir -p data/processed && cat data/raw/*.csv > data/processed/all.csv
    deps: [data/raw]
    outs: [data/processed]
  train:
    cmd: cp data/processed/all.csv model.pkl
    deps: [data/processed]
    outs: [model.pkl]
"""


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Churn:
    """Runs of stage ``train``, each recorded as DVC would have started it."""

    def __init__(self, project: Project, history: History) -> None:
        self.project, self.history = project, history
        mlflow.set_tracking_uri(history.uri)
        project.write("dvc.yaml", PIPELINE)

    def change(self, version: str) -> None:
        """Make a version of the data, and prepare it."""
        self.project.write("data/raw/a.csv", f"{version}\n")
        self.project.add("data/raw")
        self.project.dvc("repro", "-q", "prepare")
        self.project.commit(f"Data {version}")

    def train(self, accuracy: float = 0.5) -> str:
        """A run in stage ``train``; its id."""
        forget_folder_verdicts()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DVC_STAGE", "train")
            return self.history.run(accuracy=accuracy)

    def finish(self) -> None:
        """Let DVC run the stage, and link its outs to the run."""
        self.project.dvc("repro", "-q")
        assert mlflow_dvc("link").code == 0

    def register(self, run_id: str, alias: str = "") -> str:
        """Register a model of a run; its version's number."""
        client = self.history.client
        if not client.search_registered_models("name = 'churn'"):
            client.create_registered_model("churn")
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        if hasattr(client, "create_logged_model"):
            source = f"models:/{self.log_model(run_id)}"
        version = str(client.create_model_version("churn", source, run_id).version)
        if alias:
            client.set_registered_model_alias("churn", alias, version)
        return version

    def log_model(self, run_id: str) -> str:
        """A logged model of MLflow 3; its id."""
        client = self.history.client
        experiment = client.get_run(run_id).info.experiment_id
        made = client.create_logged_model(experiment, name="net", source_run_id=run_id)
        return str(client.finalize_logged_model(made.model_id, "READY").model_id)
