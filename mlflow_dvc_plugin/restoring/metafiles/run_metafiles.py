"""Read the metafiles that a run had, as far as they can be trusted."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from mlflow_dvc_plugin.capturing.commit_state import read_commit_state
from mlflow_dvc_plugin.dvc.yaml import load_yaml
from mlflow_dvc_plugin.errors import DvcError, MlflowDvcError
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.state.objects import Obj

# What a `.dvc` file from a tag may hold, and its size at most.
_FIELDS = {"outs", "md5", "meta", "desc", "frozen"}
_OUT_FIELDS = {
    *("md5", "size", "nfiles", "isexec", "hash", "path", "desc", "type", "labels", "meta"),
    *("remote", "push", "persist", "cache"),
}
_MAX_BYTES = 512 * 1024


class RunMetafiles:
    """A run's metafiles: from its tags where they are harmless, else from its commit."""

    def __init__(self, project: str, state: DataState) -> None:
        self._project = project
        self._state = state
        self._commit_metafiles: Mapping[str, bytes] | None = None

    def read(self, path: str) -> bytes | None:
        """Read a ``.dvc`` or ``dvc.lock`` file; None if its bytes are not known."""
        data = self._state.metafiles.get(path)
        if data is not None and (self._state.source == "commit" or self._is_harmless(path, data)):
            return data
        return self._read_commit().get(path)

    def find_changed_pipelines(self, present: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """Find each ``dvc.yaml`` that differs from the `present` one; None if Git does not have it.

        It holds commands, so only Git is trusted.
        """
        digests = dict(self._state.pipelines)
        for path, data in self._state.metafiles.items():
            if self._state.source == "commit" and posixpath.basename(path) == "dvc.yaml":
                digests[path] = _to_digest(data)
        found: dict[str, bytes | None] = {}
        for path, digest in digests.items():
            if path not in present or _to_digest(present[path]) != digest:
                data_then = self._read_commit().get(path)
                same = data_then is not None and _to_digest(data_then) == digest
                found[path] = data_then if same else None
        return found

    def _read_commit(self) -> Mapping[str, bytes]:
        if self._commit_metafiles is None:
            self._commit_metafiles = {}
            if self._state.source == "commit":
                self._commit_metafiles = self._state.metafiles
            elif self._state.git_commit:
                try:
                    commit = read_commit_state(self._project, self._state.git_commit)
                    self._commit_metafiles = commit.metafiles
                except MlflowDvcError:
                    pass
        return self._commit_metafiles

    def _is_harmless(self, path: str, data: bytes) -> bool:
        """Tell whether a metafile from a tag does no more than record the run's own hashes.

        A ``.dvc`` file with deps could make DVC contact a place that others
        chose, and one with more outs could make it write elsewhere. A
        ``dvc.yaml`` holds commands. A lock without its ``dvc.yaml`` does nothing.
        """
        if posixpath.basename(path) == "dvc.lock":
            return len(data) <= _MAX_BYTES
        if not path.endswith(".dvc") or len(data) > _MAX_BYTES:
            return False
        try:
            document = load_yaml(data)
        except DvcError:
            return False
        is_plain = isinstance(document, dict) and set(document) <= _FIELDS
        outs = document.get("outs") if is_plain else None
        if not isinstance(outs, list) or not all(map(_is_plain_out, outs)):
            return False
        folder = posixpath.dirname(path)
        paths = {posixpath.normpath(posixpath.join(folder, out["path"])) for out in outs}
        return paths == {e.path for e in self._state.entries if e.metafile == path}


def _is_plain_out(out: object) -> bool:
    """Tell whether an out is as `dvc add` writes it, in the folder of its ``.dvc`` file."""
    return (
        isinstance(out, dict)
        and set(out) <= _OUT_FIELDS
        and isinstance(out.get("path"), str)
        and not out["path"].startswith("/")
        and "://" not in out["path"]
        and ".." not in out["path"].split("/")
    )


def _to_digest(data: bytes) -> str:
    return Obj.from_bytes(data).value[:16]
