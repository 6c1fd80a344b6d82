"""DVC-tracked data as the source of an MLflow dataset.

MLflow imports this module with ``import mlflow``, so it asks for nothing else
until a dataset or source is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlflow.data.dataset_source import DatasetSource

if TYPE_CHECKING:
    from mlflow_dvc_plugin.errors import DatasetError, MissingObjectsError
    from mlflow_dvc_plugin.state import DataState, Entry, Kind

_MAX_DIGEST = 36  # characters that MLflow keeps of a dataset's digest
_ORIGINS = {
    "import": "was imported from another Git repository, which its .dvc file names",
    "import-url": "was imported from a place that its .dvc file names",
    "cloud-versioned": "is in a cloud-versioned remote, in a version that its metafile names",
}


class DvcDatasetSource(DatasetSource):  # type: ignore[misc]
    """One version of DVC-tracked data: its path, and the hash that says which version.

    It names no place and no secret: where the bytes are, the DVC configuration
    and the metafiles of the project that loads them say.

    Args:
        path: an out, or a file in one, relative to the DVC project.
        hash: its hash as DVC writes it, with ``.dir`` for a folder.
        hash_name: DVC's name of the hash.
        remote: name of the out's own remote, if it has one.
        kind: where DVC has its bytes from; see :class:`~mlflow_dvc_plugin.state.Entry`.
        commit: the Git commit whose metafiles say where an import, or a version
            in a cloud-versioned remote, is.
        versions: the versions in a cloud-versioned remote, as
            :class:`~mlflow_dvc_plugin.datasets.cloud_versions.Versions` writes them.
    """

    def __init__(
        self,
        path: str,
        hash: str,  # noqa: A002 - DVC's word for it
        hash_name: str = "md5",
        *,
        remote: str | None = None,
        kind: Kind = "plain",
        commit: str | None = None,
        versions: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.hash = hash
        self.hash_name = hash_name
        self.remote = remote
        self.kind = kind
        self.commit = commit
        self.versions = versions

    def load(self, dst_path: str | None = None, project: str | None = None) -> str:
        """Bring exactly this version of the data, from the DVC cache or remote.

        Call it in a clone of the project, or in a folder that has no more of it
        than its ``.dvc/config``. Every file is verified by its hash. What was
        imported and never pushed comes from its source, which only the
        project's metafiles name: that needs the clone.

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

        from mlflow_dvc_plugin.errors import MissingObjectsError
        from mlflow_dvc_plugin.restoring import extract
        from mlflow_dvc_plugin.state import Entry

        folder = dst_path or tempfile.mkdtemp(prefix="mlflow-dvc-")
        entry = Entry(
            self.path,
            self.hash_name,
            self.hash,
            isdir=self.hash.endswith(".dir"),
            remote=self.remote,
            kind=self.kind,
        )
        self._bring_versions(project)
        try:
            extract([entry], folder, project=project, commit=self.commit)
        except MissingObjectsError as err:
            if self.kind == "plain":
                raise
            raise self._missing(err) from err
        return os.path.join(folder, *self.path.split("/"))

    def _bring_versions(self, project: str | None) -> None:
        """Have the cache hold what a cloud-versioned remote has, if it still does."""
        from mlflow_dvc_plugin.capturing import find_project
        from mlflow_dvc_plugin.datasets.cloud_versions import Versions, bring
        from mlflow_dvc_plugin.errors import DvcError

        root = os.path.abspath(project) if project else find_project()
        if root is not None and self.versions:
            # What is missing afterwards is looked for by the metafiles.
            with suppress(DvcError):
                bring(root, self.path, self.hash, Versions.from_dict(self.versions))

    def _missing(self, err: MissingObjectsError) -> DatasetError:
        from mlflow_dvc_plugin.errors import DatasetError

        why = next(iter(err.reasons.values()), "")
        clone = (
            f"a clone of the project that has commit {self.commit[:12]}"
            if self.commit
            else ("the project that has it")
        )
        return DatasetError(
            f"{self.path} cannot be loaded here ({why}): it {_ORIGINS[self.kind]}. Load it in "
            f"{clone}, or name that folder as `project`."
        )

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

    def to_dict(self) -> dict[str, Any]:
        """What MLflow stores."""
        stored = {"path": self.path, "hash": self.hash, "hash_name": self.hash_name}
        special: dict[str, Any] = {"remote": self.remote}
        if self.kind != "plain":
            special |= {"kind": self.kind, "commit": self.commit, "versions": self.versions}
        return {**stored, **{name: value for name, value in special.items() if value}}

    @classmethod
    def from_dict(cls, source_dict: Mapping[str, Any]) -> DvcDatasetSource:
        """The source that :meth:`to_dict` described."""
        known = ("path", "hash", "hash_name", "remote", "kind", "commit", "versions")
        return cls(**{name: source_dict[name] for name in known if name in source_dict})


def source_of(entry: Entry, state: DataState) -> DvcDatasetSource:
    """The source that stands for an out, or a file in one, of a state."""
    versions = None
    if entry.kind == "cloud-versioned":
        from mlflow_dvc_plugin.datasets.cloud_versions import recorded

        versions = recorded(state, entry)
    return DvcDatasetSource(
        entry.path,
        str(entry.hash),
        entry.hash_name,
        remote=entry.remote,
        kind=entry.kind,
        commit=state.git_commit,
        versions=versions.to_dict() if versions else None,
    )


def digest_of(value: str) -> str:
    """A hash as an MLflow digest, which has fewer characters than some ETags."""
    if len(value) <= _MAX_DIGEST:
        return value
    from hashlib import md5

    return md5(value.encode(), usedforsecurity=False).hexdigest()


def profile_of(entry: Entry) -> dict[str, int]:
    """Number of files and bytes, as far as DVC recorded them."""
    counts = {"num_files": entry.nfiles, "size": entry.size}
    return {key: value for key, value in counts.items() if value is not None}
