"""The address of a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_dvc_plugin.tracking.store import to_absolute_uri


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("sqlite:///mlflow.db?timeout=5", "sqlite:///{here}/mlflow.db?timeout=5"),
        ("sqlite:////a/mlflow.db", "sqlite:////a/mlflow.db"),
        ("mlruns", "{here}/mlruns"),
        ("/a/mlruns", "/a/mlruns"),
        ("file:///a/mlruns", "file:///a/mlruns"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("databricks", "databricks"),
    ],
)
def test_another_folder_s_process_finds_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "mlruns").mkdir()
    assert to_absolute_uri(uri) == expected.format(here=tmp_path)
