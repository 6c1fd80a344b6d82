"""The DVC stage that this process runs in, and the outs that are valid inside it.

While a stage runs, ``dvc.lock`` records the outs of the stages before it as they
are now. But it records the running stage's own deps and outs, and those of all
stages downstream, as they were after the previous run. So those outs are not part
of the state, and the inputs are found by path, among the outs that are valid.
"""

from __future__ import annotations

import bisect
import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping

from mlflow_dvc_plugin.capturing.formats.outs import Out, Stage

_MAX_LOCK_BYTES = 1 << 24


def find_running_stage(
    stages: Iterable[Stage], project: str, environ: Mapping[str, str]
) -> Stage | None:
    """Find the stage of `project` that DVC runs this process for; None if there is none.

    ``DVC_STAGE`` is relative to the folder in which DVC was started, which is not
    known here, and a job may work on another project by now. If several stages
    match, and to find out whether it is a stage of this project, DVC's record of what
    the running stage writes (``.dvc/tmp/rwlock``) decides.
    """
    address = environ.get("DVC_STAGE")
    if not address:
        return None
    matching = [stage for stage in stages if stage.name is not None and _matches(stage, address)]
    if not matching:
        return None
    locked = _read_locked_paths(project)
    proven = [stage for stage in matching if not locked.isdisjoint(_list_outs(stage))]
    if len(proven) == 1:
        return proven[0]
    if not proven and not _can_run_here(project, environ.get("DVC_ROOT")):
        return None
    exact = [stage for stage in proven or matching if stage.address == address]
    return (exact or proven or matching)[0]


def _matches(stage: Stage, address: str) -> bool:
    """Can `address` mean `stage`, if it is relative to some folder?"""
    if address == stage.name:
        return True
    if not stage.name or not address.endswith(f":{stage.name}"):
        return False
    path = address[: -len(stage.name) - 1].replace(os.sep, "/")
    while path.startswith("../"):
        path = path[3:]
    return f"/{stage.metafile}".endswith(f"/{path}")


def _read_locked_paths(project: str) -> set[str]:
    """The paths that DVC locked, because stages that run in `project` write them."""
    try:
        with open(os.path.join(project, ".dvc", "tmp", "rwlock"), "rb") as file:
            locks = json.loads(file.read(_MAX_LOCK_BYTES))
        return {_to_posix(path) for path in locks["write"]}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return set()


def _can_run_here(project: str, dvc_root: str | None) -> bool:
    """Can a DVC that was started in `dvc_root` run a stage of `project`?"""
    # In a container, it can name a folder of the host.
    if not dvc_root or not os.path.isdir(dvc_root):
        return True
    here, there = os.path.realpath(project), os.path.realpath(dvc_root)
    # `dvc exp run --temp` and `--queue` work on a copy, and name the original.
    return here == there or here.startswith(os.path.join(there, ".dvc", "tmp", "exps", ""))


def find_valid_outs(stages: list[Stage], running: Stage) -> list[Out]:
    """Find the outs that are valid while `running` runs, with its data inputs marked."""
    stale = _find_downstream(stages, running)
    valid = [out for i, stage in enumerate(stages) if i not in stale for out in stage.outs]
    return _mark_inputs(valid, running)


def select_inputs(outs: list[Out], running: Stage) -> list[Out]:
    """Select the outs that are inputs of `running`, and mark them as such."""
    return [out for out in _mark_inputs(outs, running) if out.entry.input]


def _mark_inputs(outs: list[Out], running: Stage) -> list[Out]:
    paths = _PathSet(out.path for out in outs)
    inputs = {path for dep in running.deps for path in paths.find_overlapping(dep)}
    return [
        out._replace(entry=out.entry._replace(input=True)) if _to_posix(out.path) in inputs else out
        for out in outs
    ]


def _find_downstream(stages: list[Stage], running: Stage) -> set[int]:
    """Indices of `running` and of every stage that depends on its outs."""
    readers: dict[str, list[int]] = {}
    for index, stage in enumerate(stages):
        for dep in stage.deps:
            readers.setdefault(_to_posix(dep), []).append(index)
    deps = _PathSet(readers)
    start = next(index for index, stage in enumerate(stages) if stage is running)
    found, pending = {start}, [start]
    while pending:
        for path in _list_outs(stages[pending.pop()]):
            for dep in deps.find_overlapping(path):
                new = [index for index in readers[dep] if index not in found]
                found.update(new)
                pending += new
    return found


class _PathSet:
    """A set of paths, to find those that are equal to, above or below another path."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._all = set(map(_to_posix, paths))
        self._sorted = sorted(self._all)

    def find_overlapping(self, path: str) -> Iterator[str]:
        path = _to_posix(path)
        above = path
        while True:
            if above in self._all:
                yield above
            parent = posixpath.dirname(above)
            if parent == above or not parent:
                break
            above = parent
        prefix = path.rstrip("/") + "/"
        for index in range(bisect.bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[index].startswith(prefix):
                break
            yield self._sorted[index]


def _list_outs(stage: Stage) -> list[str]:
    return [_to_posix(out.path) for out in stage.outs]


def _to_posix(path: str) -> str:
    return path.replace(os.sep, "/") if os.sep != "/" else path
