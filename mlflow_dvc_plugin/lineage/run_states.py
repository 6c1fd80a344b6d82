"""What many runs recorded, each distinct state read once."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import Literal

from mlflow_dvc_plugin.errors import ManifestError, MlflowDvcError
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import Entry, fingerprint, manifest
from mlflow_dvc_plugin.state.tags import DATA_PREFIX, MANIFEST, read_manifest_parts
from mlflow_dvc_plugin.tracking import Run

Entries = tuple[Entry, ...]
# What a run has to do with an out: it used it, or made it.
Role = Literal["input", "output"]


class States:
    """Reads the recorded outs of runs; runs of the same state share them.

    Args:
        project: absolute path of the project, for states that need Git; None
            outside one.
    """

    def __init__(self, project: str | None) -> None:
        self._project = project
        self._by_manifest: dict[Hashable, Entries | str] = {}
        self._by_fingerprint: dict[Hashable, Entries] = {}

    def read(self, run: Run) -> Entries | str:
        """A run's outs exactly as a restore reads them, or why they cannot be read."""
        key = _manifest_key(run.tags)
        known = self._by_manifest.get(key)
        if known is None:
            # A manifest that leans on a commit is only as good as that commit.
            key = (*key, run.tags.get("dvc.git_commit")) if _needs_commit(run.tags) else key
            known = self._by_manifest.get(key)
        if known is None:
            known = self._load(run)
            # A reason names its run: it is not another one's.
            if not isinstance(known, str):
                self._by_manifest[key] = known
        return known

    def used(self, run: Run) -> Entries | None:
        """The cached outs that a run used: in a stage its inputs, else all of them.

        Runs with equal fingerprints used the same outs, so one manifest is
        read for all of them. None if no manifest or commit can be read.
        """
        tags = run.tags
        key = (tags.get("dvc.data_hash"), tags.get("dvc.inputs_hash"))
        known = self._by_fingerprint.get(key)
        if known is None:
            entries = self.read(run)
            if isinstance(entries, str):
                return None
            in_stage = "dvc.stage" in tags
            known = tuple(e for e in entries if e.cached and e.hash and (e.input or not in_stage))
            if in_stage and fingerprint(known) != tags.get("dvc.inputs_hash"):
                return None
            self._by_fingerprint[key] = known
        return known

    def _load(self, run: Run) -> Entries | str:
        try:
            return load_state(run, project=self._project).entries
        except MlflowDvcError as err:
            return str(err)


def tagged(tags: Mapping[str, str], prefix: str = DATA_PREFIX) -> dict[str, str]:
    """The hashes of a run's ``dvc.data.<path>`` tags, by what the keys say of the path."""
    return {key[len(prefix) :]: value for key, value in tags.items() if key.startswith(prefix)}


def _manifest_key(tags: Mapping[str, str]) -> tuple[object, ...]:
    text = "\0".join(read_manifest_parts(tags))
    digest = hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).digest()
    return (digest, tags.get("dvc.data_hash"), tags.get("dvc.schema"), "dvc.error" in tags)


def _needs_commit(tags: Mapping[str, str]) -> bool:
    if MANIFEST not in tags:
        return True
    try:
        return not manifest.parse(read_manifest_parts(tags)).complete
    except ManifestError:
        return True
