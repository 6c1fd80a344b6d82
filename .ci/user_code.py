"""Code as users write it. `.ci/run` proves that type checkers know the type of all of it."""

# pyright: strict

from __future__ import annotations

from typing import IO

from mlflow.data.dataset import Dataset
from typing_extensions import assert_type

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin import DataState, Entry, MlflowDvcError, RestoreResult
from mlflow_dvc_plugin.lineage.diff import Diff, Item
from mlflow_dvc_plugin.lineage.search.results import FoundRun
from mlflow_dvc_plugin.run_files.file_system import RunFileSystem

RUN = "1a2b3c4d"

assert_type(mlflow_dvc.__version__, str)
mlflow_dvc.autolog(log_report=True, silent=True)
assert_type(mlflow_dvc.log_state(RUN, log_datasets=False), DataState | None)

here = mlflow_dvc.capture()
assert_type(here, DataState | None)
state = mlflow_dvc.load_state(RUN)
assert_type(state, DataState)
assert_type(state.data_hash, str)
assert_type(state.inputs_hash, str | None)
assert_type(state.git_commit, str | None)
assert_type(state.to_tags(), dict[str, str])
for entry in state.entries:
    assert_type(entry, Entry)
    assert_type(entry.path, str)
    assert_type(entry.hash, str | None)
    assert_type(entry.isdir, bool)

try:
    result = mlflow_dvc.restore(RUN, ["data/raw"], out="then", force=True)
    assert_type(result, RestoreResult)
    assert_type(result.added, list[str])
    assert_type(result.undo, str | None)
except MlflowDvcError as err:
    assert_type(str(err), str)

difference = mlflow_dvc.diff(RUN, state, files=True)
assert_type(difference, Diff)
assert_type(difference.modified, list[Item])
for item in difference.modified:
    assert_type(item.path, str)

runs = mlflow_dvc.find_runs(path="data/raw", metrics=["accuracy"])
assert_type(runs, list[FoundRun])
for run in runs:
    assert_type(run.run_id, str)
    assert_type(run.metrics, dict[str, float])

files = mlflow_dvc.filesystem(RUN)
assert_type(files, RunFileSystem)
assert_type(files.cat_file("data/processed/train.csv"), bytes)
assert_type(mlflow_dvc.open(RUN, "data/processed/train.csv"), IO[bytes])
assert_type(mlflow_dvc.open(RUN, "data/processed/train.csv", "r"), IO[str])

assert_type(mlflow_dvc.from_dvc("data/processed/train.csv", targets="label"), Dataset)
