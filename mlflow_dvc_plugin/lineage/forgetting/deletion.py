"""Deleting objects for ever, and marking the runs that rest on them.

The runs are marked first, then the objects are deleted, and then the marks are completed.
So a deletion that was interrupted is known as one, and the same command goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_dvc_plugin.errors import EmptyRemoteError
from mlflow_dvc_plugin.lineage.forgetting.places import PlaceSearch, StoredObject, search_places
from mlflow_dvc_plugin.lineage.forgetting.survey import Survey
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.project import check_no_stage, find_root, open_project
from mlflow_dvc_plugin.state.forgotten_tag import (
    FORGOTTEN,
    NOTHING_FORGOTTEN,
    Forgotten,
    read_forgotten,
)
from mlflow_dvc_plugin.tracking import search_runs, tag_clause, write_tags


@dataclass(frozen=True)
class Deletion:
    """What was deleted.

    Attributes:
        objects: the objects, and where they were.
        marked: how many runs have a new mark.
        failed: why objects are not deleted, a sentence each.
    """

    objects: list[StoredObject]
    marked: int
    failed: list[str]


def delete(survey: Survey, tracking_uri: str | None, progress: Progress) -> Deletion:
    """Delete the objects of a survey from the cache and all remotes, and mark its runs."""
    check_no_stage()
    date = time.strftime("%Y-%m-%d", time.gmtime())
    with open_project(find_root()) as dvc, dvc.lock([]):
        before = search_places(dvc, survey.targets)
        # Another deletion may have marked them since the survey.
        old = _read_marks(tracking_uri)
        marks = _begin_marks(survey, before, old, date)
        changed = {run_id: mark for run_id, mark in marks.items() if mark != old.get(run_id)}
        _write_marks(changed, tracking_uri, progress)
        failed = _delete_objects(before, progress)
        for place in before.found:
            place.delete_leftovers(survey.targets.list_objects())
        failed = failed or _find_rest(search_places(dvc, survey.targets))
        if not failed:
            finished = {run_id: mark.finish(date) for run_id, mark in marks.items()}
            _write_marks(finished, tracking_uri, progress)
    return Deletion(before.list_objects(), len(marks), failed)


def _read_marks(tracking_uri: str | None) -> dict[str, Forgotten]:
    runs = search_runs([tag_clause(FORGOTTEN)], tracking_uri=tracking_uri)
    return {run.run_id: read_forgotten(run.tags) for run in runs}


def _begin_marks(
    survey: Survey, search: PlaceSearch, marks: Mapping[str, Forgotten], date: str
) -> dict[str, Forgotten]:
    """The new marks of the runs that need one."""
    stored = {obj.hash for obj in search.list_objects()}
    new = {}
    for run in survey.runs.runs:
        old = marks.get(run.run_id, NOTHING_FORGOTTEN)
        hashes = set(run.hashes.values())
        # What is gone from a run that has a mark was counted then.
        count = len(hashes & stored if old.deleted else hashes)
        if count or old.deleting:
            new[run.run_id] = old.begin(count, date)
    return new


def _find_rest(search: PlaceSearch) -> list[str]:
    """Say what is still there, or may be."""
    unknown = [
        f"The remote {remote} does not answer: {error}."
        for remote, error in search.unknown.items()
        if not isinstance(error, EmptyRemoteError)
    ]
    again = [f"{o.hash} is there again: another program wrote it." for o in search.list_objects()]
    return unknown + again


def _write_marks(
    marks: Mapping[str, Forgotten], tracking_uri: str | None, progress: Progress
) -> None:
    progress.begin("Marking runs", len(marks))
    for run_id, mark in marks.items():
        write_tags(run_id, {FORGOTTEN: mark.to_tag()}, tracking_uri=tracking_uri)
        progress.advance(files=1)


def _delete_objects(search: PlaceSearch, progress: Progress) -> list[str]:
    """Delete what was found; say what could not be deleted."""
    failed = []
    for place, found in search.found.items():
        progress.begin(f"Deleting from {place.describe()}", len(found))
        for obj, reason in place.delete(found).items():
            failed.append(f"{obj.value} was not deleted from {place.describe()}: {reason}.")
        progress.advance(files=len(found))
    return failed
