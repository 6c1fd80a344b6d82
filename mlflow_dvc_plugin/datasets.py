"""DVC-tracked data as the source of an MLflow dataset.

MLflow imports this module with ``import mlflow``, so it asks for nothing else
until a source is used.
"""

from __future__ import annotations

from typing import Any

from mlflow.data.dataset_source import DatasetSource


class DvcDatasetSource(DatasetSource):  # type: ignore[misc]
    """One version of an out: its path, and the hash that says which version.

    Args:
        path: the out's path, relative to the DVC project.
        hash: its hash as DVC writes it, with ``.dir`` for a folder.
        hash_name: DVC's name of the hash.
    """

    def __init__(self, path: str, hash: str, hash_name: str = "md5") -> None:  # noqa: A002
        self.path = path
        self.hash = hash
        self.hash_name = hash_name

    def load(self, dst_path: str | None = None) -> str:
        """Bring just this version of the data, from the DVC cache or remote.

        Call it in a clone of the project, or in a folder with its ``.dvc/config``.

        Args:
            dst_path: the folder to write into; None for a new temporary one.

        Returns:
            The path of the file or folder that was written.

        Raises:
            MlflowDvcError: it cannot be had.
        """
        import os
        import tempfile

        from mlflow_dvc_plugin.restore import extract
        from mlflow_dvc_plugin.state import Entry

        folder = dst_path or tempfile.mkdtemp(prefix="mlflow-dvc-")
        isdir = self.hash.endswith(".dir")
        extract([Entry(self.path, self.hash_name, self.hash, isdir=isdir)], folder)
        return os.path.join(folder, self.path)

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
        return {"path": self.path, "hash": self.hash, "hash_name": self.hash_name}

    @classmethod
    def from_dict(cls, source_dict: dict[str, str]) -> DvcDatasetSource:
        """The source that :meth:`to_dict` described."""
        return cls(source_dict["path"], source_dict["hash"], source_dict.get("hash_name", "md5"))
