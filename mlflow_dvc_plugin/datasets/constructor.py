"""Making an MLflow dataset of DVC-tracked data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlflow_dvc_plugin.datasets.dataset import dataset
from mlflow_dvc_plugin.datasets.proof import read
from mlflow_dvc_plugin.datasets.source import digest_of, source_of

if TYPE_CHECKING:
    from mlflow.data.dataset import Dataset


def from_dvc(
    path: str | os.PathLike[str], name: str | None = None, targets: str | None = None
) -> Dataset:
    """DVC-tracked data as an MLflow dataset, for ``mlflow.log_input``.

    Its digest is the hash that DVC recorded, and the data is read and compared
    with it first: what was changed since ``dvc add`` has no name yet.

    Args:
        path: an out, or a file in one, as one would open it; else relative to
            the project.
        name: the dataset's name; the path in the project by default.
        targets: the table's column to predict.

    Returns:
        For a CSV, TSV or Parquet file a ``PandasDataset``, with ``df``, schema
        and profile, as ``mlflow.evaluate`` takes it; else a dataset whose
        ``source.load()`` brings the data.

    Raises:
        DatasetError: DVC does not track it, or its content is not what DVC
            recorded.
    """
    found = read(os.fspath(path))
    source = source_of(found.entry, found.state)
    return dataset(found, source, name or source.path, digest_of(source.hash), targets)
