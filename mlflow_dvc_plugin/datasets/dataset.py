"""MLflow's dataset classes for DVC-tracked data."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from mlflow.data.dataset import Dataset

from mlflow_dvc_plugin.errors import DatasetError

if TYPE_CHECKING:
    from mlflow.data.dataset_source import DatasetSource

    from mlflow_dvc_plugin.datasets.proof import Tracked


class DvcDataset(Dataset):  # type: ignore[misc]
    """Data that is no table, such as a folder, a model or images.

    Args:
        source: its path and version.
        name: the dataset's name.
        digest: the hash that DVC recorded.
        profile: number of files and bytes, as far as DVC recorded them.
        why: why there is no `df`.
    """

    def __init__(
        self,
        source: DatasetSource,
        name: str,
        digest: str,
        profile: dict[str, int],
        why: str = "it is no CSV, TSV or Parquet file",
    ) -> None:
        self._profile = profile
        self._why = why
        super().__init__(source=source, name=name, digest=digest)

    def _compute_digest(self) -> str:
        raise NotImplementedError("the digest is DVC's hash, and always given")

    @property
    def profile(self) -> dict[str, int] | None:
        """Number of files and bytes, as far as DVC recorded them."""
        return self._profile or None

    @property
    def schema(self) -> None:
        """None: only tables have one."""

    @property
    def df(self) -> Any:
        """What only a table has.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{self.source.path} is no table: {self._why}. Use source.load().")

    def to_dict(self) -> dict[str, str]:
        """Name, digest, source, source type and profile, as MLflow stores them."""
        stored: dict[str, str] = super().to_dict()
        if self._profile:
            stored["profile"] = json.dumps(self._profile)
        return stored


def dataset(
    found: Tracked, source: DatasetSource, name: str, digest: str, targets: str | None
) -> Dataset:
    """A ``PandasDataset`` for a table, a :class:`DvcDataset` for all else.

    Raises:
        DatasetError: `targets` is no column of a table.
    """
    path = found.entry.path
    counts = {"num_files": found.entry.nfiles, "size": found.entry.size}
    profile = {key: value for key, value in counts.items() if value is not None}
    if found.table is None:
        if targets is not None:
            raise DatasetError(f"{path} is no table, so it has no column {targets!r}.")
        return DvcDataset(source, name, digest, profile)
    try:
        df = _frame(path.lower(), found.table)
    except Exception as err:  # pandas has many ways to find fault with a file
        if targets is not None:
            raise DatasetError(f"{path} cannot be read as a table: {err}") from err
        return DvcDataset(source, name, digest, profile, f"pandas says: {err}")
    if targets is not None and targets not in df.columns:
        shown = ", ".join(map(str, df.columns[:20]))
        raise DatasetError(f"{path} has no column {targets!r}. Its columns: {shown}.")
    from mlflow.data.pandas_dataset import PandasDataset

    return PandasDataset(df, source=source, targets=targets, name=name, digest=digest)


def _frame(path: str, data: bytes) -> Any:
    import pandas as pd

    stream = io.BytesIO(data)
    if path.endswith(".parquet"):
        return pd.read_parquet(stream)
    compression = "gzip" if path.endswith(".gz") else None
    return pd.read_csv(stream, sep="\t" if path.endswith(".tsv") else ",", compression=compression)
