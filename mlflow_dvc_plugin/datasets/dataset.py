"""DVC-tracked data as an MLflow dataset."""

from __future__ import annotations

import io
import json
import os
from typing import Any

from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source import DatasetSource

from mlflow_dvc_plugin.datasets.source import digest_of, profile_of, source_of
from mlflow_dvc_plugin.datasets.verification import read_verified
from mlflow_dvc_plugin.errors import DatasetError


def build_dataset(
    path: str | os.PathLike[str], targets: str | None, name: str | None, digest: str | None
) -> Dataset:
    """Build the dataset that :func:`~mlflow_dvc_plugin.from_dvc` returns."""
    entry, state, table = read_verified(os.fspath(path))
    source = source_of(entry, state)
    if digest not in (None, source.hash, digest_of(source.hash)):
        raise DatasetError(
            f"{source.path} has the hash {source.hash}, not the digest {digest!r} that was asked "
            "for. Run `mlflow-dvc restore RUN` to bring a run's data back."
        )
    name, digest = name or source.path, digest_of(source.hash)
    df, reason = _read_table(source.path.lower(), table)
    if df is None:
        if targets is not None:
            raise DatasetError(f"{source.path} has no column {targets!r}: {reason}.")
        return DvcDataset(source, name, digest, profile_of(entry), reason)
    if targets is not None and targets not in df.columns:
        columns = ", ".join(map(str, df.columns[:20]))
        raise DatasetError(f"{source.path} has no column {targets!r}. Its columns are: {columns}.")
    from mlflow.data.pandas_dataset import PandasDataset

    return PandasDataset(df, source=source, targets=targets, name=name, digest=digest)


class DvcDataset(Dataset):  # type: ignore[misc]
    """Data that is not a table, such as a folder; `reason` says why it has no `df`."""

    def __init__(
        self, source: DatasetSource, name: str, digest: str, profile: dict[str, int], reason: str
    ) -> None:
        self._profile = profile
        self._reason = reason
        super().__init__(source=source, name=name, digest=digest)

    def _compute_digest(self) -> str:
        raise NotImplementedError("the digest is DVC's hash, and is always given")

    @property
    def profile(self) -> dict[str, int] | None:
        """Number of files and bytes, as far as DVC recorded them."""
        return self._profile or None

    @property
    def schema(self) -> None:
        """None: only tables have a schema."""

    @property
    def df(self) -> Any:
        """The table's data frame, which this dataset does not have.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(
            f"{self.source.path} has no data frame: {self._reason}. Use source.load() instead."
        )

    def to_dict(self) -> dict[str, str]:
        """Name, digest, source, source type and profile, as MLflow stores them."""
        stored: dict[str, str] = super().to_dict()
        if self._profile:
            stored["profile"] = json.dumps(self._profile)
        return stored


def _read_table(path: str, table: bytes | None) -> tuple[Any, str]:
    """The data frame of a table; None, and why there is none, for other data."""
    if table is None:
        return None, "it is not a CSV, TSV, JSON Lines or Parquet file"
    stream = io.BytesIO(table)
    try:
        import pandas as pd

        if path.endswith(".parquet"):
            return pd.read_parquet(stream), ""
        if path.endswith(".jsonl"):
            # pandas' own reader takes text for numbers and dates.
            return pd.DataFrame([json.loads(line) for line in stream if line.strip()]), ""
        separator = "\t" if path.endswith(".tsv") else ","
        compression = "gzip" if path.endswith(".gz") else None
        return pd.read_csv(stream, sep=separator, compression=compression), ""
    except Exception as err:  # noqa: BLE001 - pandas raises many kinds of errors for a broken file
        return None, f"pandas cannot read it ({err})"
