"""The DVC stage that this process runs in, and what the state is inside it.

While a stage runs, ``dvc.lock`` holds the outs of the stages before it as they
are now, but its own deps and outs, and all that follows from them, as they were
after the run before. So those outs are no part of the state, and the inputs
are found by path, from the outs that own them.
"""

from __future__ import annotations

import bisect
import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping

from mlflow_dvc_plugin.capturing.formats.stages import Out, Stage

_MAX_LOCK_BYTES = 1 << 24


def running_stage(
    stages: Iterable[Stage], project: str, environ: Mapping[str, str]
) -> Stage | None:
    """The stage of `project` that DVC runs this process for; None if there is none.

    ``DVC_STAGE`` is relative to the folder that DVC was started in, which is not
    known here, and a job may have gone on to another project. DVC's record of
    what the running stage writes (``.dvc/tmp/rwlock``) decides where several
    stages would fit, and whether it is this project's.
    """
    address = environ.get("DVC_STAGE")
    if not address:
        return None
    fitting = [stage for stage in stages if stage.name is not None and _fits(stage, address)]
    if not fitting:
        return None
    busy = _busy_paths(project)
    proven = [stage for stage in fitting if not busy.isdisjoint(_paths(stage))]
    if len(proven) == 1:
        return proven[0]
    if not proven and not _started_here(project, environ.get("DVC_ROOT")):
        return None
    exact = [stage for stage in proven or fitting if stage.address == address]
    return (exact or proven or fitting)[0]


def _fits(stage: Stage, address: str) -> bool:
    """Could `address` mean `stage`, seen from some folder?"""
    if address == stage.name:
        return True
    if not stage.name or not address.endswith(f":{stage.name}"):
        return False
    path = address[: -len(stage.name) - 1].replace(os.sep, "/")
    while path.startswith("../"):
        path = path[3:]
    return f"/{stage.metafile}".endswith(f"/{path}")


def _busy_paths(project: str) -> set[str]:
    """What the stages that run in `project` write, as DVC locked it."""
    try:
        with open(os.path.join(project, ".dvc", "tmp", "rwlock"), encoding="utf-8") as file:
            locks = json.loads(file.read(_MAX_LOCK_BYTES))
        return {_slashed(path) for path in locks["write"]}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return set()


def _started_here(project: str, dvc_root: str | None) -> bool:
    """Can DVC, started in `dvc_root`, be running a stage of `project`?"""
    # In a container, it may name a folder of the host.
    if not dvc_root or not os.path.isdir(dvc_root):
        return True
    here, there = os.path.realpath(project), os.path.realpath(dvc_root)
    # `dvc exp run --temp` and `--queue` work on a copy, and name the original.
    return here == there or here.startswith(os.path.join(there, ".dvc", "tmp", "exps", ""))


def outs_within(stages: list[Stage], running: Stage) -> list[Out]:
    """The outs that hold while `running` runs, with its data inputs marked."""
    stale = _downstream(stages, running)
    holding = [out for i, stage in enumerate(stages) if i not in stale for out in stage.outs]
    paths = _Paths(out.path for out in holding)
    inputs = {path for dep in running.deps for path in paths.overlapping(dep)}
    return [
        out._replace(entry=out.entry._replace(input=True)) if _slashed(out.path) in inputs else out
        for out in holding
    ]


def _downstream(stages: list[Stage], running: Stage) -> set[int]:
    """Indices of `running` and of every stage that depends on what it makes."""
    readers: dict[str, list[int]] = {}
    for index, stage in enumerate(stages):
        for dep in stage.deps:
            readers.setdefault(_slashed(dep), []).append(index)
    deps = _Paths(readers)
    start = next(index for index, stage in enumerate(stages) if stage is running)
    found, pending = {start}, [start]
    while pending:
        for path in _paths(stages[pending.pop()]):
            for dep in deps.overlapping(path):
                new = [index for index in readers[dep] if index not in found]
                found.update(new)
                pending += new
    return found


class _Paths:
    """A set of paths that can be asked for those at, above or below another."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._all = set(map(_slashed, paths))
        self._sorted = sorted(self._all)

    def overlapping(self, path: str) -> Iterator[str]:
        path = _slashed(path)
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


def _paths(stage: Stage) -> list[str]:
    return [_slashed(out.path) for out in stage.outs]


def _slashed(path: str) -> str:
    return path.replace(os.sep, "/") if os.sep != "/" else path
