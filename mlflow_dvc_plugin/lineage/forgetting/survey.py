"""What rests on objects, and where they are: nothing is changed to find that out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError, GitError, MlflowDvcError
from mlflow_dvc_plugin.lineage.forgetting.copies import find_copies, find_undo_records
from mlflow_dvc_plugin.lineage.forgetting.folders import Folder, count_files, find_folders
from mlflow_dvc_plugin.lineage.forgetting.git_mentions import GitRef, find_refs
from mlflow_dvc_plugin.lineage.forgetting.places import StoredObject, search_places
from mlflow_dvc_plugin.lineage.forgetting.remarks import (
    explain_folders,
    explain_outs,
    explain_places,
)
from mlflow_dvc_plugin.lineage.forgetting.runs import RunScan
from mlflow_dvc_plugin.lineage.forgetting.targets import Targets
from mlflow_dvc_plugin.lineage.recorded_states import RecordedStates
from mlflow_dvc_plugin.lineage.search.hash_lookup import HashLookup
from mlflow_dvc_plugin.lineage.search.results import SearchResult
from mlflow_dvc_plugin.lineage.workspace import read_state
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.tracking.models import Model, Registry


@dataclass(frozen=True)
class Survey:
    """What rests on objects, and where they are.

    Attributes:
        copies: the paths in the workspace that have one of the objects; True for a
            link into the cache.
        undo_records: those that could bring one of the objects back.
        unknown: why places do not tell what they have, by remote.
        remarks: what else a deletion does not reach, or what is not known, a sentence each.
    """

    targets: Targets
    runs: SearchResult
    models: Sequence[Model]
    objects: Sequence[StoredObject]
    folders: Sequence[Folder]
    refs: Sequence[GitRef]
    copies: dict[str, bool]
    undo_records: Sequence[str]
    unknown: Mapping[str, DvcError]
    remarks: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            "hashes": list(self.targets.hashes),
            "runs": [run.to_dict() for run in self.runs.runs],
            "models": [model.to_dict() for model in self.models],
            "objects": [obj.to_dict() for obj in self.objects],
            "folders": [folder.to_dict() for folder in self.folders],
            "refs": [ref.to_dict() for ref in self.refs],
            "workspace": sorted(self.copies),
            "undo_records": list(self.undo_records),
            "unknown": {remote: str(err) for remote, err in self.unknown.items()},
        }


def survey(targets: Targets, tracking_uri: str | None, progress: Progress) -> Survey:
    """Find out what rests on objects, and where they are."""
    root = find_root()
    with closing(DvcProject(root)) as dvc:
        progress.begin("Looking for the objects", 0)
        search = search_places(dvc, targets)
        lookup = HashLookup(targets.hashes, dvc)
        for place in search.found:
            lookup.search_place(place, progress)
        scan = RunScan(targets, lookup, RecordedStates(root))
        runs = scan.find_runs(tracking_uri, progress)
        progress.begin("Looking for models", 0)
        run_ids = [run.run_id for run in runs.found.runs]
        models = list(Registry(tracking_uri).list_models(run_ids))
        progress.begin("Searching Git", 0)
        refs, git_remarks = _search_git(root, [*targets.hashes, *lookup.files])
        progress.begin("Looking into the workspace", 0)
        outs, capture_remarks = _find_workspace_outs(root, scan)
        paths = {*outs, *(path for run in runs.found.runs for path in run.paths)}
        return Survey(
            targets,
            runs.found,
            models,
            search.list_objects(),
            find_folders(lookup.files, search.found),
            refs,
            find_copies(dvc, targets, paths),
            find_undo_records(dvc, targets),
            search.unknown,
            [
                *git_remarks,
                *capture_remarks,
                *explain_folders(count_files(search)),
                *explain_outs({**runs.outs, **outs}.items()),
                *explain_places(dvc, search.found),
            ],
        )


def _search_git(root: str, hashes: Sequence[str]) -> tuple[list[GitRef], list[str]]:
    try:
        return find_refs(root, hashes), []
    except GitError as err:
        return [], [f"Git's branches and tags were not searched: {err}"]


def _find_workspace_outs(root: str, scan: RunScan) -> tuple[dict[str, Entry], list[str]]:
    """The outs, by path of each object in them, that today's metafiles say."""
    try:
        entries = read_state(root).entries
    except MlflowDvcError as err:
        return {}, [f"The metafiles of the workspace were not read: {err}"]
    return {use.path: use.out for use in scan.find_uses(entries)}, []
