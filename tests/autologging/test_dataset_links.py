"""Datasets that users make from files that DVC tracks, with MLflow's own functions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.datasets import DvcDatasetSource
from tests.project import Project

CSV = "a,y\n1,0\n2,1\n"
TABLE = pd.DataFrame({"a": [1, 2], "y": [0, 1]})


@pytest.fixture(autouse=True)
def data(store: str, project: Project) -> Project:
    mlflow.set_tracking_uri(store)
    project.add("data/x.csv", CSV)
    project.write("parts/one.csv", CSV)
    project.write("parts/two.csv", "b\n")
    project.add("parts")
    project.write("free.csv", CSV)
    project.commit()
    mlflow_dvc.autolog(log_artifacts=False)
    return project


def log(dataset: Any, context: str | None = "training") -> Any:
    """Log a dataset in a run; what MLflow stored of it."""
    with mlflow.start_run() as run:
        mlflow.log_input(dataset, context=context)
    inputs = MlflowClient().get_run(run.info.run_id).inputs.dataset_inputs
    (item,) = [item for item in inputs if item.dataset.name == dataset.name]
    return item


def tags_of(item: Any) -> dict[str, str]:
    return {tag.key: tag.value for tag in item.tags}


def test_a_dataset_of_a_tracked_file_is_linked_to_it(data: Project) -> None:
    made = mlflow.data.from_pandas(TABLE, source="data/x.csv", name="mine", targets="y")
    item = log(made)
    entry = next(
        line for line in (data.path / "data/x.csv.dvc").read_text().split("\n") if "md5:" in line
    )
    md5 = entry.split()[-1]
    assert item.dataset.source_type == "dvc"
    assert (item.dataset.name, item.dataset.digest) == ("mine", made.digest)
    assert item.dataset.schema == made.to_dict()["schema"]
    assert item.dataset.profile == made.to_dict()["profile"]
    assert tags_of(item) == {"mlflow.data.context": "training", "dvc.digest": md5}
    source = mlflow.data.get_source(item)
    assert isinstance(source, DvcDatasetSource)
    assert (source.path, source.hash) == ("data/x.csv", md5)
    before = json.loads(item.dataset.source)["mlflow_source"]
    assert before == {"type": "local", "uri": "data/x.csv"}
    assert made.source.to_dict() == {"uri": "data/x.csv"}, "the user's own object stays as it is"
    data.add("data/x.csv", "other\n")
    assert Path(source.load()).read_text() == CSV


@pytest.mark.parametrize(
    "source", ["parts/one.csv", "{here}/parts/one.csv", "file://{here}/parts/one.csv", "parts"]
)
def test_files_in_folders_and_folders_are_linked_however_they_are_named(
    data: Project, source: str
) -> None:
    item = log(mlflow.data.from_numpy(TABLE.to_numpy(), source=source.format(here=data.path)))
    found = mlflow.data.get_source(item)
    assert isinstance(found, DvcDatasetSource)
    assert found.path == ("parts" if source == "parts" else "parts/one.csv")
    assert tags_of(item)["dvc.digest"] == found.hash
    written = Path(found.load())
    assert (written / "one.csv" if source == "parts" else written).read_text() == CSV


def test_the_whole_path_of_a_project_in_another_folder_is_linked(
    data: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    item = log(mlflow.data.from_pandas(TABLE, source=str(data.path / "data/x.csv")))
    assert item.dataset.source_type == "dvc"


@pytest.mark.parametrize("source", ["data/x.csv", "parts", "parts/one.csv"])
def test_modified_data_is_never_linked(data: Project, source: str) -> None:
    data.write("data/x.csv", CSV + "3,1\n")
    data.write("parts/one.csv", CSV + "3,1\n")
    item = log(mlflow.data.from_pandas(TABLE, source=source))
    assert item.dataset.source_type == "local"
    assert "dvc.digest" not in tags_of(item)


def test_modified_data_with_the_size_and_time_of_the_old_is_never_linked(data: Project) -> None:
    path = data.path / "data/x.csv"
    before = path.stat()
    data.write("data/x.csv", CSV.replace("2,1", "2,0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    item = log(mlflow.data.from_pandas(TABLE, source="data/x.csv"))
    assert item.dataset.source_type == "local"


def test_what_is_not_proven_in_time_is_never_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DVC_STATUS_BUDGET_MS", "0")
    item = log(mlflow.data.from_pandas(TABLE, source="data/x.csv"))
    assert item.dataset.source_type == "local"


@pytest.mark.parametrize(
    "source", ["free.csv", "https://example.com/data/x.csv", "s3://data/x.csv"]
)
def test_what_dvc_does_not_track_is_never_linked(source: str) -> None:
    item = log(mlflow.data.from_pandas(TABLE, source=source))
    assert item.dataset.source_type != "dvc"
    assert "dvc.digest" not in tags_of(item)


def test_nothing_is_linked_without_autologging() -> None:
    mlflow_dvc.autolog(disable=True)
    item = log(mlflow.data.from_pandas(TABLE, source="data/x.csv"))
    assert item.dataset.source_type == "local"


def test_a_delta_table_in_a_tracked_folder_is_linked_and_keeps_its_version(data: Project) -> None:
    from mlflow.data.delta_dataset_source import DeltaDatasetSource

    data.write("table/part.parquet", "bytes")
    data.write("table/_delta_log/0.json", "{}")
    data.add("table")
    source = DeltaDatasetSource(path=str(data.path / "table"), delta_table_version=3)
    item = log(mlflow.data.from_pandas(TABLE, source=source))
    found = mlflow.data.get_source(item)
    assert isinstance(found, DvcDatasetSource)
    assert found.path == "table"
    assert json.loads(item.dataset.source)["mlflow_source"]["delta_table_version"] == 3


def test_code_and_dvc_sources_stay_as_they_are() -> None:
    assert log(mlflow.data.from_pandas(TABLE)).dataset.source_type == "code"
    assert "dvc.digest" not in tags_of(log(mlflow.data.from_dvc("data/x.csv", name="own")))


def test_a_broken_project_does_not_stop_the_users_log(data: Project) -> None:
    made = mlflow.data.from_pandas(TABLE, source="data/x.csv", name="mine")
    with mlflow.start_run() as run:
        data.write("data/x.csv.dvc", "outs: [\n")
        mlflow.log_input(made)
    inputs = MlflowClient().get_run(run.info.run_id).inputs.dataset_inputs
    (item,) = [item for item in inputs if item.dataset.name == "mine"]
    assert item.dataset.source_type == "local"
