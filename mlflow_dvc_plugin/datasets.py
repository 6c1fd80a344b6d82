"""DVC-tracked data as an MLflow dataset, and as the source of one.

MLflow imports this module with ``import mlflow``, so it asks for nothing else
until a dataset or source is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlflow.data.dataset_source import DatasetSource

if TYPE_CHECKING:
    from mlflow.data.dataset import Dataset

    from mlflow_dvc_plugin.state import Entry

_MAX_DIGEST = 36  # characters that MLflow keeps of a dataset's digest


class DvcDatasetSource(DatasetSource):  # type: ignore[misc]
    """One version of DVC-tracked data: its path, and the hash that says which version.

    It names no place and no secret: where the bytes are, the DVC configuration
    of the project that loads them says.

    Args:
        path: an out, or a file in one, relative to the DVC project.
        hash: its hash as DVC writes it, with ``.dir`` for a folder.
        hash_name: DVC's name of the hash.
        remote: name of the out's own remote, if it has one.
    """

    def __init__(
        self,
        path: str,
        hash: str,  # noqa: A002 - DVC's word for it
        hash_name: str = "md5",
        remote: str | None = None,
    ) -> None:
        self.path = path
        self.hash = hash
        self.hash_name = hash_name
        self.remote = remote

    def load(self, dst_path: str | None = None, project: str | None = None) -> str:
        """Bring exactly this version of the data, from the DVC cache or remote.

        Call it in a clone of the project, or in a folder that has no more of it
        than its ``.dvc/config``. Every file is verified by its hash.

        Args:
            dst_path: the folder to write into; None for a new temporary one.
            project: the folder of the project; None for the one at or above
                the working directory.

        Returns:
            The path of the file or folder that was written.

        Raises:
            MlflowDvcError: it cannot be had.
        """
        import tempfile

        from mlflow_dvc_plugin.restore import extract
        from mlflow_dvc_plugin.state import Entry

        folder = dst_path or tempfile.mkdtemp(prefix="mlflow-dvc-")
        isdir = self.hash.endswith(".dir")
        entry = Entry(self.path, self.hash_name, self.hash, isdir=isdir, remote=self.remote)
        extract([entry], folder, project=project)
        return os.path.join(folder, *self.path.split("/"))

    @staticmethod
    def _get_source_type() -> str:
        return "dvc"

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, DvcDatasetSource)

    @classmethod
    def _resolve(cls, raw_source: Any) -> DvcDatasetSource:
        resolved: DvcDatasetSource = raw_source
        return resolved

    def to_dict(self) -> dict[str, str]:
        """What MLflow stores."""
        stored = {"path": self.path, "hash": self.hash, "hash_name": self.hash_name}
        return {**stored, "remote": self.remote} if self.remote else stored

    @classmethod
    def from_dict(cls, source_dict: Mapping[str, str]) -> DvcDatasetSource:
        """The source that :meth:`to_dict` described."""
        return cls(
            source_dict["path"],
            source_dict["hash"],
            source_dict.get("hash_name", "md5"),
            source_dict.get("remote"),
        )


def source_of(entry: Entry) -> DvcDatasetSource:
    """The source that stands for an out."""
    return DvcDatasetSource(entry.path, str(entry.hash), entry.hash_name, entry.remote)


def digest_of(value: str) -> str:
    """A hash as an MLflow digest, which has fewer characters than some ETags."""
    if len(value) <= _MAX_DIGEST:
        return value
    from hashlib import md5

    return md5(value.encode(), usedforsecurity=False).hexdigest()


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
    from mlflow_dvc_plugin.tracked import read

    found = read(os.fspath(path))
    source = DvcDatasetSource(found.path, found.hash, found.hash_name, found.remote)
    from mlflow_dvc_plugin.tables import dataset

    return dataset(found, source, name or found.path, digest_of(found.hash), targets)
