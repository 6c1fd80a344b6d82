"""Sending a run's data to the remote, so that others can restore it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError, EmptyRemoteError, LineageError, join_some
from mlflow_dvc_plugin.lineage.listings import explain_remote_error
from mlflow_dvc_plugin.lineage.result import Result
from mlflow_dvc_plugin.lineage.retention.objects import ObjectIndex
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.project import find_root
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import Obj
from mlflow_dvc_plugin.tracking import find_run

_SHOWN = 10
_NOT_PUSHED = {
    "import": "it was imported from another repository, where DVC fetches it",
    "cloud-versioned": "it is in a cloud-versioned remote, to which only `dvc push` can send it",
}
_UNCACHED = "it is not in the cache; `dvc fetch` gets it from where it was imported"


@dataclass(frozen=True)
class PushResult(Result):
    """How many objects a push sent, and how many the remote had before.

    Attributes:
        skipped: outs that were not pushed, and why.
        modified: paths whose data was modified when the run started and was not
            saved: what was pushed is what the metafiles recorded.
    """

    run_id: str
    pushed: int
    present: int
    skipped: dict[str, str] = field(default_factory=dict)
    modified: tuple[str, ...] = ()


def push(
    run: str,
    *,
    remote: str | None,
    jobs: int | None,
    tracking_uri: str | None,
    progress: Progress,
) -> PushResult:
    """Upload the objects of a run that the remote lacks, verified before and after.

    Without `remote`, each out goes to its own.
    """
    root = find_root()
    found = find_run(run, tracking_uri)
    entries = [e for e in load_state(found, project=root).entries if e.cached and e.hash]
    if not entries:
        raise LineageError(f"There is nothing to push: run {found.run_id} recorded no data.")
    reasons = {
        e.path: _NOT_PUSHED.get(e.kind) if e.push else "it is `push: false`" for e in entries
    }
    with closing(DvcProject(root)) as dvc:
        dvc.remotes.check_name(remote)
        outs = [e._replace(remote=remote or e.remote) for e in entries if not reasons[e.path]]
        present, absent, uncached = _plan_transfer(ObjectIndex(dvc, outs, progress), outs)
        for name, objs in absent.items():
            _send_objects(dvc, name, objs, jobs=jobs, progress=progress)
    skipped = {path: reason for path, reason in reasons.items() if reason}
    skipped.update(dict.fromkeys(uncached, _UNCACHED))
    pushed = sum(map(len, absent.values()))
    return PushResult(found.run_id, pushed, present, skipped, found.modified)


def _plan_transfer(
    index: ObjectIndex, entries: Sequence[Entry]
) -> tuple[int, dict[str | None, dict[Obj, str]], list[str]]:
    """How many objects are in the remotes, which are not, with a path each, and uncached outs."""
    arrived: set[tuple[Obj, str | None]] = set()
    absent: dict[str | None, dict[Obj, str]] = {}
    uncached: list[str] = []
    lost: list[str] = []
    for e in entries:
        error = index.find_error(e.remote)
        if error is not None and not isinstance(error, EmptyRemoteError):
            message = explain_remote_error(error)
            raise DvcError(f"{message[:1].upper()}{message[1:]}.")
        objects = index.find_objects(e)
        present = {path: obj for path, obj in objects.items() if index.in_remote(obj, e.remote)}
        missing = [path for path in objects.keys() - present if not index.in_cache(objects[path])]
        if missing and e.kind != "plain":
            uncached.append(e.path)
            continue
        lost += sorted(missing)
        arrived.update((obj, e.remote) for obj in present.values())
        for path in objects.keys() - present - set(missing):
            absent.setdefault(e.remote, {}).setdefault(objects[path], path)
    if None in absent and not index.is_configured(None):
        raise DvcError("There is no default DVC remote. Add one with `dvc remote add -d`.")
    if lost:
        raise LineageError(
            f"Neither in the cache nor in the remote: {join_some(lost, _SHOWN)}. Nothing was "
            "pushed. Push from where the data still is."
        )
    return len(arrived), absent, uncached


def _send_objects(
    dvc: DvcProject,
    remote: str | None,
    objs: dict[Obj, str],
    *,
    jobs: int | None,
    progress: Progress,
) -> None:
    progress.begin("Pushing", len(objs))
    unsent = dvc.remotes.upload(objs, remote, jobs, progress)
    failed = {objs[obj]: reason for obj, reason in unsent.items()}
    if not failed:
        arrived = dvc.remotes.find_objects(objs, remote)
        failed = {objs[obj]: "the remote does not have it" for obj in objs.keys() - arrived}
    if failed:
        shown = join_some([f"{path} ({reason})" for path, reason in failed.items()], 1)
        raise LineageError(f"Not pushed: {shown}. Run the same command again.")
