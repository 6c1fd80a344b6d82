"""MLflow's pages of models, in a real browser: which data made a version."""

from __future__ import annotations

import itertools
import json
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

import mlflow_dvc_plugin as mlflow_dvc
from tests.browser.pages import close_assistant, picture, visit
from tests.history import mlflow_dvc as command
from tests.project import Project

pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

_numbers = itertools.count(1)


class Trained:
    """A run that logs a model and registers it, and a metric of DVC."""

    def __init__(self, project: Project, server: str) -> None:
        from sklearn.linear_model import LogisticRegression

        number = next(_numbers)
        self.server, self.name = server, f"churn-{number}" if number > 1 else "churn"
        mlflow.set_tracking_uri(server)
        self.experiment = mlflow.set_experiment(f"experiment-{self.name}").experiment_id
        project.write("dvc.yaml", "metrics: [metrics.json]\n")
        project.add("data/customers.csv", "age,plan,churn\n" + "31,2,0\n44,1,1\n" * 5)
        project.commit()
        table = pd.read_csv(project.path / "data/customers.csv")
        mlflow_dvc.autolog()
        with mlflow.start_run(run_name="train", tags={"mlflow.source.name": "train.py"}) as run:
            made = mlflow.data.from_pandas(table, source="data/customers.csv", name="customers")
            mlflow.log_input(made, context="training")
            self.model_id = mlflow.sklearn.log_model(
                LogisticRegression(),
                name="regression",
                registered_model_name=self.name,
                pip_requirements=["scikit-learn"],
            ).model_id
            project.write("metrics.json", json.dumps({"accuracy": 0.91}))
        mlflow_dvc.autolog(disable=True)
        self.client = MlflowClient()
        self.run_id, self.digest = run.info.run_id, made.digest
        self.tags = self.client.get_run(self.run_id).data.tags
        self.client.set_registered_model_alias(self.name, "champion", "1")


@pytest.fixture
def trained(project: Project, server: str) -> Trained:
    return Trained(project, server)


def test_the_page_of_a_version_says_which_data_made_it(trained: Trained, page: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    visit(page, f"{trained.server}/#/models/{trained.name}/versions/1")
    page.get_by_text("dvc.data_hash").first.wait_for()
    close_assistant(page)
    text = page.inner_text("body")
    for key in ("dvc.data_hash", "dvc.status", "dvc.data.data/customers.csv", "dvc.git_commit"):
        assert key in text
        assert trained.tags[key] in text
    assert trained.run_id in text
    assert "champion" in text
    picture(page, "model_version")


def test_the_list_of_versions_shows_the_data_of_each(trained: Trained, page: Any) -> None:
    visit(page, f"{trained.server}/#/models/{trained.name}")
    page.get_by_text("dvc.run_id").first.wait_for()
    close_assistant(page)
    text = page.inner_text("body")
    assert text.index("dvc.run_id") < text.index("dvc.data_hash") < text.index("dvc.status")
    assert "champion" in text


def test_the_page_of_a_logged_model_says_which_data_a_metric_is_for(
    trained: Trained, page: Any
) -> None:
    page.set_viewport_size({"width": 1280, "height": 620})
    visit(page, f"{trained.server}/#/experiments/{trained.experiment}/models/{trained.model_id}")
    page.get_by_text("accuracy").first.wait_for()
    close_assistant(page)
    text = page.inner_text("body")
    shown = f"customers (#{trained.digest})"
    assert text.index("accuracy") < text.index(shown) < text.index("0.91")
    assert "Datasets used" in text
    picture(page, "logged_model")


def test_the_datasets_column_leads_to_the_data_in_dvc(trained: Trained, page: Any) -> None:
    visit(page, f"{trained.server}/#/experiments/{trained.experiment}/runs")
    shown = f"customers ({trained.digest})"
    page.get_by_text(shown).first.wait_for()
    close_assistant(page)
    text = page.inner_text("body")
    value = trained.tags["dvc.data.data/customers.csv"]
    assert f"data/customers.csv ({value})" in text
    page.get_by_text(shown).first.click()
    page.get_by_text("Data details").wait_for()
    page.get_by_text("churn").first.wait_for()
    assert f"Digest: {trained.digest}" in page.inner_text("body")
    picture(page, "linked_dataset")


def test_a_model_that_dvc_holds_is_shown_with_its_run(
    trained: Trained, project: Project, page: Any
) -> None:
    project.add("models/net.bin", "weights")
    name = f"{trained.name}-net"
    options = ("--model", name, "--run", trained.run_id, "--tracking-uri", trained.server)
    done = command("link", "models/net.bin", *options)
    assert done.code == 0, done.stderr
    page.set_viewport_size({"width": 1280, "height": 900})
    visit(page, f"{trained.server}/#/models/{name}/versions/1")
    page.get_by_text("dvc.data_hash").first.wait_for()
    close_assistant(page)
    text = page.inner_text("body")
    assert "dvc.model.models/net.bin" in text
    assert trained.tags["dvc.data_hash"] in text
    picture(page, "external_model")
    visit_run = f"{trained.server}/#/experiments/{trained.experiment}/runs/{trained.run_id}"
    page.goto(visit_run)
    page.get_by_text(name).first.wait_for()
