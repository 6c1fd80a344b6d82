"""Send a run's data to the remote, so that others can restore it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.errors import DvcError, LineageError
from mlflow_dvc_plugin.lineage.retention.availability import Stock
from mlflow_dvc_plugin.lineage.workspace import root_of
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.state.objects import Obj
from mlflow_dvc_plugin.tracking import find_run

_SHOWN = 10
_LEFT = {
    "import": "imported from another repository, where DVC fetches it",
    "cloud-versioned": "in a cloud-versioned remote, where only `dvc push` can send it",
}


@dataclass(frozen=True)
class PushResult:
    """What a push did.

    Attributes:
        run_id: the run.
        pushed: number of objects sent.
        present: number of objects that the remote had.
        skipped: outs that are not pushed, and why.
    """

    run_id: str
    pushed: int
    present: int
    skipped: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return dict(vars(self))


def push(
    run: str,
    *,
    remote: str | None = None,
    jobs: int | None = None,
    tracking_uri: str | None = None,
    project: str | None = None,
    progress: Progress | None = None,
) -> PushResult:
    """Upload what the remote lacks of a run's data.

    Each object's bytes are verified before it is sent; afterwards the remote
    is asked for it again.

    Args:
        run: what :func:`~mlflow_dvc_plugin.tracking.find_run` takes.
        remote: name of the remote; None for each out's own.
        jobs: how many objects to send at once.
        tracking_uri: the MLflow store; None for MLflow's own choice.
        project: the project's folder; None for the one at the working directory.
        progress: hears of objects and bytes.

    Raises:
        LineageError: objects are neither in the remote nor in the cache, or
            could not be sent.
        DvcError: the remote did not answer.
    """
    root = root_of(project)
    found = find_run(run, tracking_uri)
    entries = [e for e in load_state(found, project=root).entries if e.cached and e.hash]
    skipped = {e.path: reason for e in entries if (reason := _left(e))}
    chosen = [e._replace(remote=remote or e.remote) for e in entries if e.path not in skipped]
    progress = progress or Progress()
    dvc = DvcProject(root)
    try:
        dvc.remotes.check_name(remote)
        stock = Stock(dvc, chosen, progress)
        present, lacking = _sort(stock, chosen)
        if lacking and None in lacking and not dvc.remotes.has_default():
            raise DvcError("There is no default DVC remote: add one with `dvc remote add -d`.")
        for name, objs in lacking.items():
            _send(dvc, name, objs, jobs, progress)
    finally:
        dvc.close()
    for e in chosen:
        if e.kind != "plain" and stock.stored(e).lost:
            skipped[e.path] = "not in the cache: `dvc fetch` brings it from where it was imported"
    return PushResult(found.run_id, sum(map(len, lacking.values())), present, skipped)


def _left(e: Entry) -> str:
    return _LEFT.get(e.kind, "") if e.push else "it is `push: false`"


def _sort(stock: Stock, entries: list[Entry]) -> tuple[int, dict[str | None, dict[Obj, str]]]:
    """How many objects the remotes have, and those that each lacks, with their paths."""
    present: set[tuple[Obj, str | None]] = set()
    lacking: dict[str | None, dict[Obj, str]] = {}
    lost: dict[str, None] = {}
    for e in entries:
        if silence := stock.silence(e.remote):
            raise DvcError(f"The DVC remote cannot be asked: {silence}")
        if e.kind == "plain":
            lost.update(dict.fromkeys(stock.stored(e).lost))
        for path, obj in stock.objects(e).items():
            if stock.pushed(obj, e.remote):
                present.add((obj, e.remote))
            elif stock.cached(obj):
                lacking.setdefault(e.remote, {}).setdefault(obj, path)
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise LineageError(
            f"Neither in the remote nor in the cache: {', '.join(list(lost)[:_SHOWN])}{more}. "
            "Nothing was pushed; push where the data still is."
        )
    return len(present), lacking


def _send(
    dvc: DvcProject,
    remote: str | None,
    objs: dict[Obj, str],
    jobs: int | None,
    progress: Progress,
) -> None:
    progress.begin("Pushing", len(objs))
    failed = {
        objs[obj]: why for obj, why in dvc.remotes.upload(objs, remote, jobs, progress).items()
    }
    if not failed:
        arrived = dvc.remotes.find_objects(objs, remote)
        failed = {objs[obj]: "it did not arrive" for obj in objs.keys() - arrived}
    if failed:
        path, why = next(iter(failed.items()))
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise LineageError(f"Not pushed: {path} ({why}){more}. Run the same command again.")
