"""The states that runs recorded, each distinct state read once."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import Literal

from mlflow_dvc_plugin.errors import ManifestError, MlflowDvcError
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import Entry, fingerprint, manifest
from mlflow_dvc_plugin.state.objects import DIR_SUFFIX
from mlflow_dvc_plugin.state.tags import (
    DATA_OMITTED,
    DATA_PREFIX,
    MANIFEST,
    read_manifest_parts,
)
from mlflow_dvc_plugin.tracking import Run

Entries = tuple[Entry, ...]
# Whether a run used an out, made it, or only recorded it: in a stage with other inputs.
Role = Literal["input", "output", "recorded"]


class RecordedStates:
    """Reads the outs that runs recorded. Runs of the same state share one tuple of outs."""

    def __init__(self, project: str | None) -> None:
        self._project = project
        self._by_manifest: dict[Hashable, Entries] = {}
        self._by_fingerprint: dict[Hashable, Entries] = {}

    def read_outs(self, run: Run) -> Entries | str:
        """A run's outs, exactly as a restore reads them, or why they cannot be read."""
        key = _to_manifest_key(run.tags)
        if key not in self._by_manifest and _needs_commit(run.tags):
            # A manifest that rests on a commit is only as good as that commit.
            key = (*key, run.tags.get("dvc.git_commit"))
        if key not in self._by_manifest:
            try:
                self._by_manifest[key] = load_state(run, project=self._project).entries
            except MlflowDvcError as err:
                return str(err)  # not remembered: it names the run
        return self._by_manifest[key]

    def read_used_outs(self, run: Run) -> Entries | None:
        """The cached outs that a run used: in a stage its inputs, else all of them.

        Runs with equal fingerprints used the same outs, so one manifest is
        read for all of them. None if no manifest or commit can be read.
        """
        tags = run.tags
        key = (tags.get("dvc.data_hash"), tags.get("dvc.inputs_hash"))
        if key not in self._by_fingerprint:
            entries = self.read_outs(run)
            if isinstance(entries, str):
                return None
            in_stage = "dvc.stage" in tags
            used = tuple(e for e in entries if e.cached and e.hash and (e.input or not in_stage))
            if in_stage and fingerprint(used) != tags.get("dvc.inputs_hash"):
                return None
            self._by_fingerprint[key] = used
        return self._by_fingerprint[key]

    def find_used_outs(self, run: Run) -> tuple[Entries, bool]:
        """The cached outs that a run used, as far as its tags tell, and whether these are all."""
        entries = self.read_used_outs(run)
        if entries is not None:
            return entries, True
        outs = read_tagged_outs(run, DATA_PREFIX)
        return outs, bool(outs) and DATA_OMITTED not in run.tags


def read_tagged_outs(run: Run, prefix: str) -> Entries:
    """The outs that a run's tags name, with the path in the key."""
    return tuple(
        Entry(key[len(prefix) :], "md5", value, isdir=value.endswith(DIR_SUFFIX))
        for key, value in run.tags.items()
        if key.startswith(prefix)
    )


def _to_manifest_key(tags: Mapping[str, str]) -> tuple[object, ...]:
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
