"""Every place in MLflow that asks for tags gets those of the run that it asks for, or none."""

from __future__ import annotations

import ast
import functools
import json
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import requests
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from tests.project import Project

CSV = "a,y\n" + "".join(f"{n},{n % 2}\n" for n in range(12))
# The functions of MLflow 2.14 to 3.17 that ask for tags, and what for.
CALLERS = {
    "tracking.fluent.start_run": "a run",
    "recipes.utils.tracking.get_run_tags_env_vars": "a run",
    "openai._openai_autolog.patched_call": "the active run, or a run",
    "langchain._langchain_autolog._resolve_tags": "the active run, or a run",
    "sklearn._autolog._log_posttraining_metadata": "children of the active run",
    "pyspark.ml.autolog._log_posttraining_metadata": "children of the active run",
    "tracking.fluent._create_logged_model": "a model",
    "tracing.processor.mlflow.MlflowSpanProcessor._start_trace": "a trace",
    "tracing.utils.environment.resolve_env_metadata": "a trace",
    "genai.evaluation.context.RealContext.__init__": "the user's name",
    "entities.evaluation_dataset.EvaluationDataset.merge_records": "the user's name",
    "tracking._tracking_service.client.TrackingServiceClient.create_dataset": "the user's name",
    "data.huggingface_dataset.from_huggingface": "a dataset",
    "data.numpy_dataset.from_numpy": "a dataset",
    "data.pandas_dataset.from_pandas": "a dataset",
    "data.polars_dataset.from_polars": "a dataset",
    "data.spark_dataset.from_spark": "a dataset",
    "data.tensorflow_dataset.from_tensorflow": "a dataset",
    "sklearn._autolog._log_pretraining_metadata": "a dataset of the active run",
    "sklearn._autolog.patched_predict": "a dataset of the active run",
    "pyspark.ml.autolog._log_pretraining_metadata": "a dataset of the active run",
    "pyspark.ml.autolog.patched_evaluate": "a dataset of the active run",
    "lightgbm.autolog.train_impl": "a dataset of the active run",
    "xgboost.autolog.train_impl": "a dataset of the active run",
    "tensorflow.autolog._patched_inference": "a dataset of the active run",
    "tensorflow.autolog.FitPatch._patch_implementation": "a dataset of the active run",
    "keras.autologging.autolog._patched_inference": "a dataset of the active run",
    "keras.autologging.autolog.FitPatch._patch_implementation": "a dataset of the active run",
}
needs_mlflow_3 = pytest.mark.skipif(
    not hasattr(mlflow, "create_external_model"), reason="MLflow 2 has no logged models"
)


@pytest.fixture(autouse=True)
def data(store: str, project: Project) -> Iterator[Project]:
    mlflow.set_tracking_uri(store)
    project.add("data.csv", CSV)
    project.commit()
    yield project
    mlflow.sklearn.autolog(disable=True)


@pytest.fixture
def run(data: Project) -> mlflow.ActiveRun:
    """A run that is resumed after the data changed."""
    with mlflow.start_run() as started:
        pass
    data.add("data.csv", CSV + "99,1\n")
    return mlflow.start_run(run_id=started.info.run_id)


def dvc_tags(tags: Any) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key.startswith("dvc.")}


def stored(run_id: str) -> dict[str, str]:
    return dvc_tags(MlflowClient().get_run(run_id).data.tags)


def belonging_to(run: Any) -> dict[str, str]:
    """The tags of what belongs to a run: the run's, with its id instead of its manifest."""
    tags = stored(run.info.run_id)
    return {k: v for k, v in tags.items() if k != "dvc.manifest"} | {
        "dvc.manifest_run": run.info.run_id
    }


def test_every_place_that_asks_for_tags_is_known() -> None:
    spec = find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    found = set()
    for path in root.rglob("*.py"):
        if "resolve_tags(" in (text := path.read_text(encoding="utf-8")):
            module = path.relative_to(root).with_suffix("").parts
            found |= find_calls(ast.parse(text), [p for p in module if p != "__init__"])
    assert "tracking.fluent.start_run" in found
    assert found <= set(CALLERS)


def find_calls(node: ast.AST, names: list[str]) -> set[str]:
    """The functions below a node that call `resolve_tags`."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "resolve_tags":
        return {".".join(names)}
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        names = [*names, node.name]
    return {each for child in ast.iter_child_nodes(node) for each in find_calls(child, names)}


def test_a_run_and_a_nested_run_get_the_data_that_they_start_on(data: Project) -> None:
    with mlflow.start_run() as parent:
        data.add("data.csv", CSV + "99,1\n")
        with mlflow.start_run(nested=True) as child:
            pass
    first, second = stored(parent.info.run_id), stored(child.info.run_id)
    assert first["dvc.data_hash"] != second["dvc.data_hash"]
    assert load_state(child.info.run_id).entries[0].hash == second["dvc.data.data.csv"]


def test_a_framework_that_makes_a_run_itself_gets_the_data_now(run: mlflow.ActiveRun) -> None:
    tags = resolve_tags({"mine": "1"})
    assert tags["mine"] == "1"
    assert tags["dvc.data_hash"] != stored(run.info.run_id)["dvc.data_hash"]
    assert "dvc.manifest" in tags


@pytest.mark.slow
def test_the_children_of_a_search_have_the_data_that_it_started_on(run: mlflow.ActiveRun) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    mlflow.sklearn.autolog(log_models=False, silent=True)
    table = pd.DataFrame({"a": range(12), "y": [0, 1] * 6})
    GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(table[["a"]], table["y"])
    children = MlflowClient().search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    )
    assert [dvc_tags(child.data.tags) for child in children] == [belonging_to(run)] * 2
    datasets = MlflowClient().get_run(run.info.run_id).inputs.dataset_inputs
    sources = [json.loads(item.dataset.source)["tags"] for item in datasets]
    assert [dvc_tags(tags) for tags in sources] == [belonging_to(run)]


@needs_mlflow_3
def test_logged_models_have_the_data_of_their_run(run: mlflow.ActiveRun) -> None:
    run_id = run.info.run_id
    models = [
        mlflow.create_external_model("external"),
        mlflow.create_external_model("named", source_run_id=run_id),
        mlflow.initialize_logged_model("empty"),
    ]
    found = [MlflowClient().get_logged_model(each.model_id) for each in models]
    assert [dvc_tags(model.tags) for model in found] == [belonging_to(run)] * 3
    assert {load_state(f"models:/{model.model_id}").data_hash for model in found} == {
        stored(run_id)["dvc.data_hash"]
    }


@needs_mlflow_3
@pytest.mark.slow
def test_a_model_that_a_flavour_logs_has_the_data_of_its_run(run: mlflow.ActiveRun) -> None:
    from sklearn.linear_model import LogisticRegression

    needs = ["scikit-learn"]
    made = mlflow.sklearn.log_model(LogisticRegression(), name="a", pip_requirements=needs)
    assert dvc_tags(MlflowClient().get_logged_model(made.model_id).tags) == belonging_to(run)


@needs_mlflow_3
def test_a_logged_model_in_another_thread_has_the_data_of_its_run(run: mlflow.ActiveRun) -> None:
    made: list[Any] = []
    work = threading.Thread(
        target=lambda: made.append(mlflow.create_external_model(source_run_id=run.info.run_id))
    )
    work.start()
    work.join()
    assert dvc_tags(made[0].tags) == belonging_to(run)


@needs_mlflow_3
def test_logged_models_of_other_runs_or_of_none_have_no_data(data: Project) -> None:
    with mlflow.start_run() as ended:
        pass
    data.add("data.csv", CSV + "99,1\n")
    with mlflow.start_run():
        other = mlflow.create_external_model("a", source_run_id=ended.info.run_id)
    none = mlflow.create_external_model("b")
    assert dvc_tags(other.tags) == dvc_tags(none.tags) == {}


@needs_mlflow_3
def test_a_model_that_says_something_else_than_its_run_is_not_believed(data: Project) -> None:
    """As models say that were logged with the first release."""
    with mlflow.start_run() as run:
        right = stored(run.info.run_id)
        data.add("data.csv", CSV + "99,1\n")
        wrong = dvc_tags(resolve_tags())
        model = mlflow.create_external_model("a", tags=wrong)
    assert dvc_tags(model.tags) == wrong | {"dvc.manifest_run": run.info.run_id}
    assert load_state(f"models:/{model.model_id}").data_hash == right["dvc.data_hash"]
    mlflow_dvc.restore(f"models:/{model.model_id}")
    assert (data.path / "data.csv").read_text() == CSV
    assert [found.run_id for found in mlflow_dvc.find_runs()] == [run.info.run_id]
    assert mlflow_dvc.find_runs(data_hash=wrong["dvc.data_hash"]) == []


def test_datasets_have_the_data_of_the_active_run_or_none(run: mlflow.ActiveRun) -> None:
    table = pd.DataFrame({"a": [1]})
    inside = mlflow.data.from_pandas(table).source.to_dict()["tags"]
    numpy = mlflow.data.from_numpy(table.to_numpy()).source.to_dict()["tags"]
    assert dvc_tags(inside) == dvc_tags(numpy) == belonging_to(run)
    mlflow.end_run()
    assert dvc_tags(mlflow.data.from_pandas(table).source.to_dict()["tags"]) == {}


def test_an_evaluation_has_the_data_of_its_run(run: mlflow.ActiveRun) -> None:
    table = pd.DataFrame({"y": [0, 1, 0], "seen": [0, 1, 1]})
    evaluate = getattr(mlflow.models, "evaluate", None) or mlflow.evaluate
    evaluate(
        data=table,
        targets="y",
        predictions="seen",
        model_type="regressor",
        evaluator_config={"log_explainer": False},
    )
    (item,) = MlflowClient().get_run(run.info.run_id).inputs.dataset_inputs
    assert dvc_tags(json.loads(item.dataset.source)["tags"]) == belonging_to(run)


@needs_mlflow_3
def test_records_for_an_evaluation_have_the_users_name_and_no_data() -> None:
    from mlflow.genai import datasets

    made = datasets.create_dataset(name="d")
    made.merge_records([{"inputs": {"q": "a"}, "expectations": {"e": "b"}}])
    assert dvc_tags(made.tags or {}) == {}
    assert made.tags["mlflow.user"]
    (record,) = made.to_df().to_dict("records")
    assert dvc_tags(record["tags"]) == {}


def test_traces_have_no_data() -> None:
    @mlflow.trace  # type: ignore[untyped-decorator, unused-ignore]
    def answer(question: str) -> str:
        return question

    with mlflow.start_run():
        answer("why")
    getattr(mlflow, "flush_trace_async_logging", lambda: None)()
    (trace,) = MlflowClient().search_traces(["0"])
    info = trace.info
    assert dvc_tags(info.tags) == {}
    assert dvc_tags(getattr(info, "trace_metadata", None) or info.request_metadata) == {}


@needs_mlflow_3
@pytest.mark.slow
def test_right_tags_cost_no_request(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    send = requests.Session.send

    def count(self: Any, request: Any, **kwargs: Any) -> Any:
        sent.append(f"{request.method} {request.path_url.partition('?')[0]}")
        return send(self, request, **kwargs)

    monkeypatch.setattr(requests.Session, "send", count)
    mlflow.set_tracking_uri(server)
    calls, tags = [], []
    for disabled in ("0", "1"):
        monkeypatch.setenv("MLFLOW_DVC_DISABLE", disabled)
        sent.clear()
        with mlflow.start_run(run_id=None) as run:
            model = mlflow.initialize_logged_model("a")
            other = mlflow.create_external_model("b", source_run_id="0" * 32)
            with mlflow.start_run(nested=True):
                mlflow.data.from_pandas(pd.DataFrame({"a": [1]}))
        ids = (run.info.run_id, model.model_id, other.model_id)
        calls.append(
            [functools.reduce(lambda c, each: c.replace(each, "ID"), ids, c) for c in sent]
        )
        tags.append((dvc_tags(model.tags) == belonging_to(run), dvc_tags(other.tags)))
    assert calls[0] == calls[1]
    assert calls[0].count("POST /api/2.0/mlflow/runs/create") == 2
    assert tags == [(True, {}), (False, {})]


@needs_mlflow_3
def test_a_run_that_autologging_tagged_gives_its_models_its_data(data: Project) -> None:
    bare = MlflowClient().create_run("0").info.run_id
    mlflow_dvc.autolog(log_artifacts=False)
    with mlflow.start_run(run_id=bare) as run:
        data.add("data.csv", CSV + "99,1\n")
        model = mlflow.create_external_model("a")
        expected = belonging_to(run)
    assert dvc_tags(model.tags) == expected


def test_what_is_switched_off_gives_no_tags(
    run: mlflow.ActiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dvc_tags(run.data.tags)
    monkeypatch.setenv("MLFLOW_DVC_DISABLE", "1")
    tags = mlflow.data.from_pandas(pd.DataFrame({"a": [1]})).source.to_dict()["tags"]
    assert dvc_tags(tags) == {}
