"""A database of another release of MLflow stays as it is: a question must not upgrade it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.tracking.store import open_client
from tests.history import mlflow_dvc
from tests.project import Project


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database as MLflow's own migrations leave it after the first of them."""
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    path = tmp_path / "old.db"
    engine = utils.create_sqlalchemy_engine(f"sqlite:///{path}")
    utils.InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(str(engine.url))
    first = str(ScriptDirectory.from_config(config).get_base())
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, first)
    engine.dispose()
    return path


def count_tables(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return found


def test_a_question_does_not_upgrade_a_database(project: Project, old: Path) -> None:
    project.add("a", "1")
    before = old.read_bytes()
    for args in (["find"], ["show", "abc"], ["check", "--experiment", "Default"]):
        error = mlflow_dvc(*args, "--tracking-uri", f"sqlite:///{old}").error
        assert f"The database sqlite:///{old} belongs to another release of MLflow." in error
    assert old.read_bytes() == before


def test_mlflow_itself_upgrades_it_without_asking(old: Path, tmp_path: Path) -> None:
    """If it does so no more, the check can go."""
    copied = tmp_path / "copied.db"
    shutil.copy(old, copied)
    MlflowClient(f"sqlite:///{copied}").search_experiments()
    assert count_tables(copied) > count_tables(old)


def test_a_database_of_this_release_is_opened(store: str) -> None:
    assert open_client(store).search_experiments()


def test_the_password_of_a_database_is_not_shown(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.db import utils

    make = utils.create_sqlalchemy_engine
    monkeypatch.setattr(utils, "create_sqlalchemy_engine", lambda _: make(f"sqlite:///{old}"))
    with pytest.raises(Exception, match="postgresql://host/db belongs to another") as err:
        open_client("postgresql://user:secret@host/db")
    assert "secret" not in str(err.value)
