"""Where MLflow creates, resumes and ends runs.

All runs of a process pass through ``MlflowClient.create_run`` and
``set_terminated``: fluent ones, those of other autologging, and those of
frameworks that use the client. Resumed ones become an ``ActiveRun``. These are
methods of classes, so that ``from mlflow import start_run`` makes no difference.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

_logger = logging.getLogger("mlflow_dvc_plugin.autolog")
_MAX_OPEN = 1000  # runs that nobody ends are forgotten at last
_PARENT = "mlflow.parentRunId"
_MARK = "_mlflow_dvc_plugin"

_open: OrderedDict[str, Any] = OrderedDict()
_lock = threading.Lock()
_chosen: Callable[[], Any] | None = None


def install(chosen: Callable[[], Any]) -> None:
    """Act on every run from now on.

    Args:
        chosen: tells, as a run begins, what to log of it; None for nothing.
    """
    global _chosen  # noqa: PLW0603
    _chosen = chosen
    client = getattr(sys.modules.get("mlflow.tracking.client"), "MlflowClient", None)
    if client is not None:
        _wrap(client, "create_run", _create_run)
        _wrap(client, "set_terminated", _set_terminated)
        # MLflow 2 has no ActiveRun yet when it loads plugins; whoever starts a run
        # makes a client first.
        if not _wrap_active_run():
            _wrap(client, "__init__", _client)


def _wrap_active_run() -> bool:
    active = getattr(sys.modules.get("mlflow.tracking.fluent"), "ActiveRun", None)
    if active is not None:
        _wrap(active, "__init__", _active_run)
    return active is not None


def recording_of(run_id: str) -> Any:
    """What is known of a run that has begun in this process and not ended."""
    found = _open.get(run_id)
    return found if found is not None and found.pid == os.getpid() else None


def _wrap(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    if getattr(original, _MARK, False):
        return

    @functools.wraps(original)
    def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    setattr(patched, _MARK, True)
    setattr(owner, name, patched)


def _client(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    _wrap_active_run()
    original(self, *args, **kwargs)


def _create_run(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    run = original(self, *args, **kwargs)
    _begin(self, run, fresh=True)
    return run


def _active_run(original: Any, self: Any, run: Any, *args: Any, **kwargs: Any) -> None:
    original(self, run, *args, **kwargs)
    try:
        known = recording_of(run.info.run_id) is not None
    except Exception:  # noqa: BLE001 - a guest never breaks the job
        return
    if not known:
        from mlflow.tracking import MlflowClient

        _begin(MlflowClient(), run, fresh=False)


def _set_terminated(original: Any, self: Any, run_id: str, *args: Any, **kwargs: Any) -> Any:
    _end(self, run_id)
    return original(self, run_id, *args, **kwargs)


def _begin(client: Any, run: Any, fresh: bool) -> None:
    try:
        parts = _chosen() if _chosen is not None else None
        if parts is None:
            return
        from mlflow_dvc_plugin.autologging.recording import begin

        parent = recording_of(run.data.tags.get(_PARENT, ""))
        digest = parent.digest if parent is not None else ""
        recording = begin(client, run, parts, parent_digest=digest, fresh=fresh)
        if recording is not None:
            with _lock:
                _open[recording.run_id] = recording
                if len(_open) > _MAX_OPEN:
                    _open.popitem(last=False)
    except Exception:
        _logger.debug("autologging failed", exc_info=True)


def _end(client: Any, run_id: str) -> None:
    try:
        recording = recording_of(run_id)
        if recording is None:
            return
        with _lock:
            _open.pop(run_id, None)
        from mlflow_dvc_plugin.autologging.recording import end

        end(client, recording)
    except Exception:
        _logger.debug("autologging failed", exc_info=True)
