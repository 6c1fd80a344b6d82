"""``from_dvc``, which is also ``mlflow.data.from_dvc``.

``import mlflow`` imports this module and reads the annotations of the function. So they are
classes, not strings, and everything else is imported when the function is called.
"""

import os

from mlflow.data.dataset import Dataset


def from_dvc(
    path: str | os.PathLike[str],
    name: str | None = None,
    targets: str | None = None,
    digest: str | None = None,
) -> Dataset:
    """DVC-tracked data as an MLflow dataset, for ``mlflow.log_input``.

    Its digest is the hash that DVC has for the data. The data is read and compared with
    that hash first, so data that was changed after ``dvc add`` is refused.

    Args:
        path: an out, or a file in one: relative to the working directory or to
            the project, or absolute.
        name: the dataset's name; by default the path in the project.
        targets: the column of a table to predict.
        digest: the hash that the data must have; by default the one that DVC has now.

    Returns:
        A ``PandasDataset`` for a CSV, TSV, JSON Lines or Parquet file, with `df`, schema
        and profile, for ``mlflow.models.evaluate``; for other data a dataset without `df`,
        whose ``source.load()`` gets the data.

    Raises:
        DatasetError: DVC does not track the data, the data differs from DVC's hash or
            from `digest`, or `targets` is not a column of it.
    """
    from mlflow_dvc_plugin.datasets.dataset import build_dataset

    return build_dataset(path, targets, name, digest)
