"""The data state of a project: every out with its hash, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from mlflow_dvc_plugin.named_tuple import NamedTuple
from mlflow_dvc_plugin.state import tags
from mlflow_dvc_plugin.state.entry import Entry, fingerprint, usage_key

if TYPE_CHECKING:
    from mlflow_dvc_plugin.state.manifest import Manifest
    from mlflow_dvc_plugin.state.program import CodeStatus, Program

Status = Literal["clean", "modified", "missing", "unverified", "saved"]
Source = Literal["workspace", "manifest", "artifacts", "commit"]


class _Fields(NamedTuple):
    root: str
    entries: tuple[Entry, ...]
    lock_hash: str | None = None
    git_commit: str | None = None
    status: Status = "unverified"
    modified: tuple[str, ...] = ()
    stage: str | None = None
    exp_name: str | None = None
    exp_baseline: str | None = None
    remote: str | None = None
    metafiles: Mapping[str, bytes] = {}
    commit_entries: tuple[Entry, ...] | None = None
    pipelines: Mapping[str, str] = {}
    source: Source = "workspace"
    project: str = ""
    program: Program | None = None


class DataState(_Fields):
    """The data of a run, or of a project now. It cannot be changed.

    Attributes:
        root: the project's folder relative to the Git root, POSIX; ``.`` at
            the top or without Git.
        entries: every out, sorted by path.
        lock_hash: MD5 over the project's ``dvc.lock`` files; None without one.
        git_commit: HEAD of the Git repository; None without Git or commits.
        status: whether the workspace contains what the metafiles record.
        modified: paths that are proven different from what the metafiles record; if the
            status is not ``modified``, the entries have the hashes of what was really there.
        stage: address of the running stage; None outside one.
        exp_name: name of the running DVC experiment.
        exp_baseline: the commit on which the running DVC experiment is based.
        remote: name of the default remote.
        metafiles: bytes of the metafiles, by path relative to the project.
        commit_entries: what the metafiles of ``git_commit`` record; only known if there
            are too many outs to write all of them into tags.
        pipelines: first 16 hex of the MD5 of each ``dvc.yaml``, by path, if a
            recorded state does not have its bytes.
        source: where the state was read from.
        project: absolute path of the project; empty for a recorded state.
        program: what the run ran; None if that is not known.
    """

    @cached_property
    def data_hash(self) -> str:
        """The fingerprint of the whole state."""
        return fingerprint(self.entries)

    @cached_property
    def inputs_hash(self) -> str | None:
        """The fingerprint of the running stage's data inputs; None outside a stage."""
        if self.stage is None:
            return None
        return fingerprint(e for e in self.entries if e.input)

    def used_entries(self) -> list[Entry]:
        """The outs that a run uses: the inputs of its stage, else all outs that DVC caches."""
        if self.stage is not None:
            return [e for e in self.entries if e.input and e.hash]
        return sorted((e for e in self.entries if e.cached and e.hash), key=usage_key)

    def to_tags(self, max_path_tags: int = 20) -> dict[str, str]:
        """The MLflow tags that record this state.

        Args:
            max_path_tags: how many outs get a ``dvc.data.<path>`` tag.

        Returns:
            Keys and values within the limits of every MLflow store. The key
            ``dvc.manifest`` is absent if the state is too large for tags.
        """
        # The runs of a search mostly have the same state.
        if max_path_tags not in self._tags:
            self._tags[max_path_tags] = self._build_tags(max_path_tags)
        return dict(self._tags[max_path_tags])

    @cached_property
    def _tags(self) -> dict[int, dict[str, str]]:
        return {}

    def _build_tags(self, max_path_tags: int) -> dict[str, str]:
        # A state that gets no tags needs no manifest.
        from mlflow_dvc_plugin.state.manifest import build_manifest

        # MLflow shows tags in this order, and people look at the first few.
        facts = {
            "dvc.data_hash": self.data_hash,
            "dvc.status": self.status,
            "dvc.lock_hash": self.lock_hash,
            "dvc.git_commit": self.git_commit,
            "dvc.stage": self.stage,
            "dvc.inputs_hash": self.inputs_hash,
            "dvc.exp_name": self.exp_name,
            "dvc.exp_baseline": self.exp_baseline,
            "dvc.remote": self.remote,
        }
        built = tags.build_fact_tags(facts)
        built.update(tags.build_paths_tag("dvc.modified", self.modified))
        used = self.used_entries()
        built.update(tags.build_path_tags(used, max_path_tags))
        built.update(tags.build_fact_tags({"dvc.root": self.root, "dvc.schema": tags.SCHEMA}))
        room = tags.MAX_TOTAL - tags.count_characters(built)
        if self.program is not None:
            room -= tags.count_characters(tags.build_code_tags(self.program.code))
        # The index of hashes yields to the manifest, and the bytes of metafiles yield to the index.
        index = tags.build_hash_tags(used, room)
        reserved = tags.count_characters(index)
        parts, manifest = build_manifest(
            self.entries,
            self.commit_entries,
            self.metafiles,
            room,
            reserved=reserved,
            program=self.program,
        )
        rest = room - sum(map(len, parts))
        built.update(index if reserved <= rest else tags.build_hash_tags(used, rest))
        built.update(tags.build_code_tags(_read_code_status(manifest, self.program)))
        built.update(tags.build_manifest_tags(parts))
        return built


def _read_code_status(manifest: Manifest | None, program: Program | None) -> CodeStatus | None:
    """The status of the code, which is saved if the manifest has what differed."""
    recorded = manifest.program if manifest is not None else program
    return recorded.code if recorded is not None else None
