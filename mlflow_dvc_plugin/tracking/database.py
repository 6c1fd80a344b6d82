"""Databases as MLflow stores: they belong to the release of MLflow that made them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from mlflow_dvc_plugin.errors import TrackingError

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_known: set[str] = set()


def check_release(uri: str) -> None:
    """Refuse a database that lacks tables which this release of MLflow has.

    MLflow would add them without asking, and an older release could not use the database any
    more. It matters where mlflow-dvc runs in another environment than the project.
    """
    parts = urlsplit(uri)
    if parts.scheme.partition("+")[0] not in DATABASES or uri in _known:
        return
    import mlflow
    from mlflow.store.db import utils

    is_complete: Any = getattr(utils, "_all_tables_exist", None)
    if is_complete is None:  # in this release MLflow finds that out in another way
        return
    from sqlalchemy import inspect

    engine = utils.create_sqlalchemy_engine(uri)
    try:
        is_other = inspect(engine).has_table("alembic_version") and not is_complete(engine)
    finally:
        engine.dispose()
    if is_other:
        name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise TrackingError(
            f"The database {name} belongs to another release of MLflow. MLflow "
            f"{mlflow.__version__} here would change it, and that release could no longer use it. "
            "Run mlflow-dvc in the environment that uses it, or change it for good with `mlflow db "
            "upgrade URI`."
        )
    _known.add(uri)
