"""DVC-tracked data as the source of an MLflow dataset.

``import mlflow`` imports this module. That is why it imports other modules only when a
source is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from mlflow.data.dataset_source import DatasetSource

if TYPE_CHECKING:
    from mlflow_dvc_plugin.errors import DatasetError
    from mlflow_dvc_plugin.state import DataState, Entry, Kind

_MAX_DIGEST = 36  # characters that MLflow keeps of a dataset's digest
_ORIGINS = {
    "import": "was imported from the Git repository that its .dvc file names",
    "import-url": "was imported from the URL that its .dvc file names",
    "cloud-versioned": "is in a cloud-versioned remote, and its metafile names the version",
}


@dataclass(eq=False)
class DvcDatasetSource(DatasetSource):  # type: ignore[misc]
    """One version of DVC-tracked data: its path and its hash.

    It names no location and no secret. The configuration and the metafiles of the project
    in which it is loaded say where the bytes are.

    Args:
        path: an out, or a file in one, relative to the DVC project.
        hash: its hash as DVC writes it, with ``.dir`` for a folder.
        hash_name: DVC's name of the hash.
        remote: name of the out's own remote, if it has one.
        kind: where DVC has its bytes from; see :class:`~mlflow_dvc_plugin.state.Entry`.
        commit: the Git commit whose metafiles say where an import is, or which
            versions a cloud-versioned remote holds.
        cloud_versions: the versions in a cloud-versioned remote, as
            :class:`~mlflow_dvc_plugin.datasets.cloud_versions.CloudVersions` writes them.
    """

    path: str
    hash: str
    hash_name: str = "md5"
    _: KW_ONLY
    remote: str | None = None
    kind: Kind = "plain"
    commit: str | None = None
    cloud_versions: Mapping[str, Any] | None = None

    def load(self, dst_path: str | None = None, project: str | None = None) -> str:
        """Write exactly this version of the data into a folder, from the DVC cache or remote.

        Call it in a clone of the project, or in a folder that has the project's
        ``.dvc/config``. Every file is verified by its hash. Imported data that was
        never pushed is fetched from its source, which only the metafiles of a clone
        name.

        Args:
            dst_path: the folder to write into; None for a new temporary one.
            project: the folder of the project; None for the one at or above
                the working directory.

        Returns:
            The path of the file or folder that was written.

        Raises:
            MlflowDvcError: the data cannot be fetched.
        """
        import tempfile

        from mlflow_dvc_plugin.errors import MissingObjectsError
        from mlflow_dvc_plugin.restoring import extract

        folder = dst_path or tempfile.mkdtemp(prefix="mlflow-dvc-")
        self._fetch_versions(project)
        try:
            extract([self._to_entry()], folder, project=project, commit=self.commit)
        except MissingObjectsError as err:
            if self.kind == "plain":
                raise
            reason = next(iter(err.reasons.values()), "")
            raise self._cannot_load(reason) from err
        return os.path.join(folder, *self.path.split("/"))

    def _to_entry(self) -> Entry:
        from mlflow_dvc_plugin.state import Entry

        return Entry(
            self.path,
            self.hash_name,
            self.hash,
            isdir=self.hash.endswith(".dir"),
            remote=self.remote,
            kind=self.kind,
        )

    def _fetch_versions(self, project: str | None) -> None:
        """Fetch from a cloud-versioned remote into the cache what the remote still has."""
        from mlflow_dvc_plugin.capturing import find_project
        from mlflow_dvc_plugin.datasets.cloud_versions import CloudVersions, fetch_versions
        from mlflow_dvc_plugin.errors import DvcError

        root = os.path.abspath(project) if project else find_project()
        if root is not None and self.cloud_versions:
            versions = CloudVersions.from_dict(self.cloud_versions)
            # What could not be fetched is then fetched by what the metafiles say.
            with suppress(DvcError):
                fetch_versions(root, self.path, self.hash, versions)

    def _cannot_load(self, reason: str) -> DatasetError:
        from mlflow_dvc_plugin.errors import DatasetError

        which = f" that has commit {self.commit[:12]}" if self.commit else ""
        return DatasetError(
            f"{self.path} cannot be loaded here ({reason}): it {_ORIGINS[self.kind]}. Load it in "
            f"a clone of the project{which}, or pass that folder as `project`."
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
        """The values that MLflow stores."""
        stored: dict[str, Any] = {"path": self.path, "hash": self.hash, "hash_name": self.hash_name}
        optional: dict[str, Any] = {"remote": self.remote}
        if self.kind != "plain":
            optional |= {"kind": self.kind, "commit": self.commit, "versions": self.cloud_versions}
        return stored | {name: value for name, value in optional.items() if value}

    @classmethod
    def from_dict(cls, source_dict: Mapping[str, Any]) -> DvcDatasetSource:
        """The source that :meth:`to_dict` described."""
        known = ("path", "hash", "hash_name", "remote", "kind", "commit")
        values = {name: source_dict[name] for name in known if name in source_dict}
        return cls(**values, cloud_versions=source_dict.get("versions"))


def source_of(entry: Entry, state: DataState) -> DvcDatasetSource:
    """The source of an out of a state, or of a file in one."""
    versions = None
    if entry.kind == "cloud-versioned":
        from mlflow_dvc_plugin.datasets.cloud_versions import find_versions

        versions = find_versions(state, entry)
    return DvcDatasetSource(
        entry.path,
        str(entry.hash),
        entry.hash_name,
        remote=entry.remote,
        kind=entry.kind,
        commit=state.git_commit,
        cloud_versions=versions.to_dict() if versions else None,
    )


def digest_of(value: str) -> str:
    """A hash as an MLflow digest, which is shorter than some ETags."""
    if len(value) <= _MAX_DIGEST:
        return value
    from hashlib import md5

    return md5(value.encode(), usedforsecurity=False).hexdigest()


def profile_of(entry: Entry) -> dict[str, int]:
    """Number of files and bytes, as far as DVC recorded them."""
    counts = {"num_files": entry.nfiles, "size": entry.size}
    return {key: value for key, value in counts.items() if value is not None}
