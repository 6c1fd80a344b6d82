from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.history import History
from tests.project import Project


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an MLflow store without runs: making one takes a second."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def history(
    project: Project, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> History:
    """A store, which is also the one that commands ask."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_store, path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    project.remote(tmp_path / "remote")
    return History(f"sqlite:///{path}", project.path)
