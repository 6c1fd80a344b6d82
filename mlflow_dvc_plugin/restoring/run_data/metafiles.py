"""The metafiles that a run had, as far as they can be believed."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping

from mlflow_dvc_plugin.capturing.commit_state import read_commit_state
from mlflow_dvc_plugin.dvc.yaml import load_yaml
from mlflow_dvc_plugin.errors import DvcError, MlflowDvcError
from mlflow_dvc_plugin.state import DataState

# What a `.dvc` file from a tag may hold, and at most how many bytes.
_PLAIN_METAFILE = {"outs", "md5", "meta", "desc", "frozen"}
_PLAIN_OUT = {
    *("md5", "size", "nfiles", "isexec", "hash", "path", "desc", "type", "labels", "meta"),
    *("remote", "push", "persist", "cache"),
}
_MAX_FROM_TAGS = 512 * 1024


class Recorded:
    """A run's metafiles: from its tags where they can do no harm, else from its commit.

    Args:
        project: absolute path of the project.
        state: what the run recorded.
    """

    def __init__(self, project: str, state: DataState) -> None:
        self._project = project
        self._state = state
        self._commit: Mapping[str, bytes] | None = None

    def metafile(self, path: str) -> bytes | None:
        """The bytes that a ``.dvc`` or ``dvc.lock`` file had; None if they are not known."""
        data = self._state.metafiles.get(path)
        if data is not None and (self._state.source == "commit" or self._harmless(path, data)):
            return data
        return self._committed().get(path)

    def pipelines(self, today: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """Each ``dvc.yaml`` that differs: it holds commands, so only Git is believed.

        Args:
            today: the bytes of the metafiles that the project has.

        Returns:
            The bytes that each had; None where Git does not have them.
        """
        found: dict[str, bytes | None] = {}
        digests = dict(self._state.pipelines)
        for path, data in self._state.metafiles.items():
            if self._state.source == "commit" and posixpath.basename(path) == "dvc.yaml":
                digests[path] = _digest(data)
        for path, digest in digests.items():
            present = today.get(path)
            if present is None or _digest(present) != digest:
                then = self._committed().get(path)
                found[path] = then if then is not None and _digest(then) == digest else None
        return found

    def _committed(self) -> Mapping[str, bytes]:
        if self._commit is None:
            self._commit = {}
            if self._state.source == "commit":
                self._commit = self._state.metafiles
            elif self._state.git_commit:
                try:
                    self._commit = read_commit_state(
                        self._project, self._state.git_commit
                    ).metafiles
                except MlflowDvcError:
                    self._commit = {}
        return self._commit

    def _harmless(self, path: str, data: bytes) -> bool:
        """Metafile bytes from a tag do no more than record the run's own hashes.

        A ``.dvc`` file with deps could make DVC contact a place of someone
        else's choosing, one with more outs could make it write elsewhere; a
        ``dvc.yaml`` holds commands. A lock without its ``dvc.yaml`` does nothing.
        """
        if posixpath.basename(path) == "dvc.lock":
            return len(data) <= _MAX_FROM_TAGS
        if not path.endswith(".dvc") or len(data) > _MAX_FROM_TAGS:
            return False
        try:
            document = load_yaml(data)
        except DvcError:
            return False
        plain = isinstance(document, dict) and set(document) <= _PLAIN_METAFILE
        outs = document.get("outs") if plain else None
        if not isinstance(outs, list) or not all(map(_plain, outs)):
            return False
        folder = posixpath.dirname(path)
        named = {posixpath.normpath(posixpath.join(folder, out["path"])) for out in outs}
        return named == {e.path for e in self._state.entries if e.metafile == path}


def _plain(out: object) -> bool:
    """An out as `dvc add` writes it, beside its ``.dvc`` file."""
    return (
        isinstance(out, dict)
        and set(out) <= _PLAIN_OUT
        and isinstance(out.get("path"), str)
        and not out["path"].startswith("/")
        and "://" not in out["path"]
        and ".." not in out["path"].split("/")
    )


def _digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()[:16]
