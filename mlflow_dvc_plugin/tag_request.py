"""What MLflow asks for tags for, and the tags of the runs that are active in this process.

MLflow asks when a run starts, but also for what belongs to a run: a logged model, the child
runs of a search that is over, a dataset or a trace. By then the workspace may hold other data
than the run had. MLflow does not say what it asks for; only its call of ``resolve_tags`` does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from mlflow_dvc_plugin.named_tuple import NamedTuple

_REGISTRY = "mlflow.tracking.context.registry"
_FLUENT = "mlflow.tracking.fluent"
_SOURCE = "source_run_id"
_PARENT = "mlflow.parentRunId"
# Where MLflow never starts a run. Elsewhere it may, in versions before 3.
_NO_RUNS = ("data", "entities", "genai", "tracing", "tracking")


class TagRequest(NamedTuple):
    """What tags are for: a run that starts, or something that belongs to a run.

    Attributes:
        is_start: a run starts.
        run_id: the parent of the run that starts, or the run that owns the thing; None if
            there is none.
    """

    is_start: bool
    run_id: str | None = None


def read_request() -> TagRequest:
    """Find out what the call is for in which a provider is asked for tags."""
    frame: Any = sys._getframe(1)
    while _read_module(frame).startswith(f"{__package__}."):
        frame = frame.f_back
    given = None
    while _read_module(frame) == _REGISTRY:
        given = frame.f_locals.get("tags")
        frame = frame.f_back
    module = _read_module(frame)
    if module == _FLUENT and _SOURCE in frame.f_code.co_varnames:
        return TagRequest(False, frame.f_locals.get(_SOURCE))
    if module != _FLUENT and module.startswith("mlflow."):
        active = sys.modules[_FLUENT].active_run() if _FLUENT in sys.modules else None
        if active is not None or module.split(".")[1] in _NO_RUNS:
            return TagRequest(False, active.info.run_id if active is not None else None)
    return TagRequest(True, given.get(_PARENT) if isinstance(given, dict) else None)


def _read_module(frame: Any) -> str:
    """The name of the module whose code a frame runs; empty if there is no frame."""
    return (frame.f_globals.get("__name__") or "") if frame is not None else ""


def find_active_tags(run_id: str | None) -> Mapping[str, str] | None:
    """The tags that a run had when it became active in this process; None if it is not active."""
    for run in _list_active_runs() if run_id else ():
        if run.info.run_id == run_id:
            tags: Mapping[str, str] = run.data.tags
            return tags
    return None


def _list_active_runs() -> Iterator[Any]:
    stack: Any = getattr(sys.modules.get(_FLUENT), "_active_run_stack", [])
    # MLflow 3 has a stack for each thread.
    stacks = [stack] if isinstance(stack, list) else stack.get_all_thread_values().values()
    for runs in stacks:
        yield from reversed(runs)
