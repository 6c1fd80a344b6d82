"""Which of the data that is nowhere was deleted on purpose: runs that are marked tell."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.lineage.listings import to_object
from mlflow_dvc_plugin.lineage.recorded_states import Entries, RecordedStates
from mlflow_dvc_plugin.lineage.retention.check import judge_runs
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.state.forgotten_tag import FORGOTTEN, read_forgotten
from mlflow_dvc_plugin.state.objects import Obj
from mlflow_dvc_plugin.tracking import Run, search_runs, tag_clause


def find_forgotten(
    root: str, lost: Mapping[str, Obj], outs: Collection[Obj], tracking_uri: str | None
) -> dict[str, list[str]]:
    """The paths of lost objects that were deleted on purpose, by when that was.

    `outs` are the outs that these objects are, or are in. If no MLflow store
    answers, nothing is known.
    """
    found: dict[str, str] = {}
    try:
        runs = _find_marked_runs(root, outs, tracking_uri)
        for checked in judge_runs(root, runs, Progress()):
            mark = read_forgotten(checked.run.tags)
            if mark.explains(len(checked.lost)):
                known = {path: obj for path, obj in lost.items() if obj in checked.lost}
                found.update(dict.fromkeys(known, mark.describe()))
    except MlflowDvcError:
        pass
    by_date: dict[str, list[str]] = {}
    for path, when in sorted(found.items()):
        by_date.setdefault(when, []).append(path)
    return by_date


def _find_marked_runs(
    root: str, outs: Collection[Obj], tracking_uri: str | None
) -> list[tuple[Run, Entries]]:
    """The runs of which something was forgotten, and which have one of the outs."""
    states = RecordedStates(root)
    found: dict[tuple[int, str], tuple[Run, Entries]] = {}
    for run in search_runs([tag_clause(FORGOTTEN)], tracking_uri=tracking_uri):
        entries = states.read_outs(run)
        if isinstance(entries, str):
            continue
        if any(e.hash and to_object(e) in outs for e in entries):
            found.setdefault((id(entries), run.tags[FORGOTTEN]), (run, entries))
    return list(found.values())
