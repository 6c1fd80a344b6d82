"""Metrics say which model and data they are for, and evaluations which data they used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

import mlflow_dvc_plugin as mlflow_dvc
from tests.project import Project

CSV = "a,y,seen\n" + "".join(f"{n},{n % 2},{n % 3 % 2}\n" for n in range(12))
QUESTIONS = [
    {"inputs": {"question": "1+1"}, "outputs": "2", "expectations": {"answer": "2"}},
    {"inputs": {"question": "1+2"}, "outputs": "4", "expectations": {"answer": "3"}},
]
needs_mlflow_3 = pytest.mark.skipif(
    not hasattr(mlflow, "create_external_model"), reason="MLflow 2 has no logged models"
)


@pytest.fixture(autouse=True)
def data(store: str, project: Project) -> Project:
    mlflow.set_tracking_uri(store)
    project.write("dvc.yaml", "metrics: [metrics.json]\n")
    project.add("data.csv", CSV)
    project.commit()
    mlflow_dvc.autolog(log_artifacts=False)
    return project


def write_metrics() -> None:
    Path("metrics.json").write_text('{"acc": 0.5}')


def log_model(name: str) -> Any:
    """A model of the active run, as `log_model` of a flavour makes one in a second or more."""
    from mlflow.entities import LoggedModelOutput

    model, run = mlflow.create_external_model(name), mlflow.active_run()
    MlflowClient().log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])
    return model


def subjects(run: Any) -> Any:
    """The models and datasets of a run's DVC metric, as the models' pages show them."""
    client = MlflowClient()
    models = client.search_logged_models(["0"], f"source_run_id = '{run.info.run_id}'")
    found = [client.get_logged_model(model.model_id).metrics or () for model in models]
    return [
        (each.model_id, each.dataset_name, each.dataset_digest)
        for metrics in found
        for each in metrics
        if each.key == "acc"
    ]


@needs_mlflow_3
def test_metrics_are_for_the_only_model_and_the_only_dataset() -> None:
    with mlflow.start_run() as run:
        model = log_model("m")
        write_metrics()
    digest = MlflowClient().get_run(run.info.run_id).data.tags["dvc.data.data.csv"]
    (metric,) = MlflowClient().get_logged_model(model.model_id).metrics
    assert (metric.key, metric.value) == ("acc", 0.5)
    assert (metric.dataset_name, metric.dataset_digest) == ("data.csv", digest)
    assert MlflowClient().get_run(run.info.run_id).data.metrics == {"acc": 0.5}


@needs_mlflow_3
def test_the_users_own_dataset_of_the_same_file_is_the_only_one() -> None:
    with mlflow.start_run() as run:
        made = mlflow.data.from_pandas(pd.read_csv("data.csv"), source="data.csv", name="mine")
        mlflow.log_input(made, context="training")
        model = log_model("m")
        write_metrics()
    assert subjects(run) == [(model.model_id, "mine", made.digest)]


@needs_mlflow_3
def test_with_several_models_or_datasets_metrics_are_for_none(data: Project) -> None:
    data.add("more.csv", "b\n1\n")
    with mlflow.start_run() as two_datasets:
        model = log_model("m")
        write_metrics()
    assert subjects(two_datasets) == [(model.model_id, None, None)]
    with mlflow.start_run() as two_models:
        log_model("m"), log_model("n")
        write_metrics()
    assert subjects(two_models) == []
    assert MlflowClient().get_run(two_models.info.run_id).data.metrics == {"acc": 0.5}


@needs_mlflow_3
def test_modified_data_that_is_not_logged_counts_as_data(data: Project) -> None:
    data.add("more.csv", "b\n1\n")
    data.write("more.csv", "edited\n")
    with mlflow.start_run() as run:
        model = log_model("m")
        write_metrics()
    assert len(MlflowClient().get_run(run.info.run_id).inputs.dataset_inputs) == 1
    assert subjects(run) == [(model.model_id, None, None)]


def test_metrics_are_logged_by_every_mlflow() -> None:
    with mlflow.start_run() as run:
        write_metrics()
    assert MlflowClient().get_run(run.info.run_id).data.metrics == {"acc": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["from_dvc", "from_pandas"])
@pytest.mark.parametrize("logging", [True, False], ids=["autolog", "no autolog"])
def test_an_evaluation_says_which_test_set_it_used(data: Project, own: bool, logging: bool) -> None:
    mlflow_dvc.autolog(disable=not logging, log_artifacts=False)
    if own:
        made = mlflow.data.from_pandas(
            pd.read_csv("data.csv"), source="data.csv", targets="y", predictions="seen"
        )
    else:
        table = mlflow.data.from_dvc("data.csv", targets="y")
        made = type(table)(
            table.df, table.source, "y", table.name, table.digest, predictions="seen"
        )
    evaluate = getattr(mlflow.models, "evaluate", None) or mlflow.evaluate
    config = {"log_explainer": False}
    with mlflow.start_run() as run:
        evaluate(data=made, model_type="classifier", evaluator_config=config)
    data.add("data.csv", "changed later\n")
    found = MlflowClient().get_run(run.info.run_id)
    items = [item for item in found.inputs.dataset_inputs if item.dataset.name == made.name]
    if own and not logging:
        assert [item.dataset.source_type for item in items] == ["local"]
        return
    (item,) = items
    assert found.data.tags["dvc.data.data.csv"] == json.loads(item.dataset.source)["hash"]
    assert Path(mlflow.data.get_source(item).load()).read_text() == CSV


@needs_mlflow_3
@pytest.mark.slow
def test_a_genai_evaluation_says_which_test_set_it_used(
    data: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.genai import evaluate, scorer

    monkeypatch.setenv("MLFLOW_GENAI_EVAL_SKIP_TRACE_VALIDATION", "true")
    text = "".join(f"{json.dumps(row)}\n" for row in QUESTIONS)
    data.add("questions.jsonl", text)

    @scorer  # type: ignore[untyped-decorator, unused-ignore]
    def is_right(outputs: str, expectations: dict[str, str]) -> bool:
        return outputs == expectations["answer"]

    test_set = mlflow.data.from_dvc("questions.jsonl")
    with mlflow.start_run() as run:
        mlflow.log_input(test_set, context="evaluation")
        result = evaluate(data=test_set.df, scorers=[is_right])
    assert result.metrics == {"is_right/mean": 0.5}
    data.add("questions.jsonl", "{}\n")
    found = MlflowClient().get_run(run.info.run_id)
    (item,) = [i for i in found.inputs.dataset_inputs if i.dataset.name == "questions.jsonl"]
    assert {tag.key: tag.value for tag in item.tags} == {"mlflow.data.context": "evaluation"}
    assert item.dataset.digest == found.data.tags["dvc.data.questions.jsonl"]
    assert Path(mlflow.data.get_source(item).load()).read_text() == text


def test_json_lines_are_a_table_with_the_types_of_json(data: Project) -> None:
    data.add("rows.jsonl", '{"text": "2", "day": "2024-01-01", "n": 1}\n')
    table = mlflow_dvc.from_dvc("rows.jsonl").df
    assert table.to_dict("records") == [{"text": "2", "day": "2024-01-01", "n": 1}]
