"""Hooks into MLflow, where it creates, resumes and ends runs.

All runs of a process pass through ``MlflowClient.create_run`` and
``MlflowClient.set_terminated``: runs of the fluent API, runs of other autologging
integrations, and runs of frameworks that use the client. A resumed run becomes an
``ActiveRun``. The hooks replace methods of classes, so that they also work in a script
that has ``from mlflow import start_run``.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlflow_dvc_plugin.autologging.parts import select_parts

if TYPE_CHECKING:
    from mlflow_dvc_plugin.autologging.recording import Recording

_logger = logging.getLogger("mlflow_dvc_plugin.autolog")
_MAX_OPEN = 1000  # runs; a run that is never ended is dropped at some point
_MARK = "_mlflow_dvc_plugin"

# The runs that started in this process and have not ended, by id.
_open: OrderedDict[str, Recording] = OrderedDict()
_lock = threading.Lock()


def install() -> None:
    """Record each run that starts from now on."""
    client = getattr(sys.modules.get("mlflow.tracking.client"), "MlflowClient", None)
    if client is None:
        return
    _wrap(client, "create_run", _create_run)
    _wrap(client, "set_terminated", _set_terminated)
    _wrap(client, "log_inputs", _log_inputs)
    registry: Any = sys.modules.get("mlflow.tracking._model_registry.client")
    if registry is not None:
        _wrap(registry.ModelRegistryClient, "create_model_version", _create_version)
    # When MLflow 2 loads plugins, ActiveRun is not defined yet. A client is created before
    # a run starts.
    if not _wrap_active_run():
        _wrap(client, "__init__", _create_client)


def find_recording(run_id: str) -> Recording | None:
    """The recording of a run that started in this process and has not ended."""
    found = _open.get(run_id)
    # A forked process has its parent's recordings, but must not end its parent's runs.
    return found if found is not None and found.pid == os.getpid() else None


def _wrap_active_run() -> bool:
    active = getattr(sys.modules.get("mlflow.tracking.fluent"), "ActiveRun", None)
    if active is not None:
        _wrap(active, "__init__", _resume_run)
    return active is not None


def _wrap(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    if getattr(original, _MARK, False):
        return

    @functools.wraps(original)
    def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    setattr(patched, _MARK, True)
    setattr(owner, name, patched)


def _create_client(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    _wrap_active_run()
    original(self, *args, **kwargs)


def _create_run(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    run = original(self, *args, **kwargs)
    _start(self, run)
    return run


def _resume_run(original: Any, self: Any, run: Any, *args: Any, **kwargs: Any) -> None:
    original(self, run, *args, **kwargs)
    _start(None, run)


def _set_terminated(original: Any, self: Any, run_id: str, *args: Any, **kwargs: Any) -> Any:
    _end(self, run_id)
    return original(self, run_id, *args, **kwargs)


def _log_inputs(
    original: Any, self: Any, run_id: str, datasets: Any = None, *args: Any, **kwargs: Any
) -> Any:
    return original(self, run_id, _link_datasets(datasets), *args, **kwargs)


def _create_version(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    call = inspect.signature(original).bind(self, *args, **kwargs)
    call.arguments["tags"] = _add_version_tags(**call.arguments)
    return original(*call.args, **call.kwargs)


def _add_version_tags(
    self: Any, source: str, run_id: str | None = None, tags: Any = None, **_: Any
) -> Any:
    try:
        parts = select_parts()
        if parts is None or not parts.models:
            return tags
        from mlflow_dvc_plugin.lineage.derivation.model_versions import build_version_tags

        recording = find_recording(run_id or "")
        known = recording.tags if recording is not None else {}
        return {**build_version_tags(source, run_id, known, self.tracking_uri), **(tags or {})}
    except Exception:
        _logger.debug("autologging failed to tag a model version", exc_info=True)
        return tags


def _link_datasets(datasets: Any) -> Any:
    try:
        parts = select_parts() if datasets else None
        if parts is None or not parts.datasets:
            return datasets
        from mlflow_dvc_plugin.autologging.dataset_inputs import link_inputs

        return link_inputs(datasets)
    except Exception:
        _logger.debug("autologging failed to link a dataset", exc_info=True)
        return datasets


def _start(client: Any, run: Any) -> None:
    """Start the recording of a run: one that `client` created, or a resumed one if it is None."""
    try:
        # A run that was created in this process becomes an ActiveRun as well.
        if client is None and find_recording(run.info.run_id) is not None:
            return
        parts = select_parts()
        if parts is None:
            return
        from mlflow.tracking import MlflowClient

        from mlflow_dvc_plugin.autologging.run_start import start_recording

        recording = start_recording(
            client or MlflowClient(),
            run,
            parts,
            find_other=find_recording,
            created=client is not None,
        )
        if recording is not None:
            with _lock:
                _open[recording.run_id] = recording
                if len(_open) > _MAX_OPEN:
                    _open.popitem(last=False)
    except Exception:
        _logger.debug("autologging failed at the start of a run", exc_info=True)


def _end(client: Any, run_id: str) -> None:
    try:
        recording = find_recording(run_id)
        if recording is None:
            return
        with _lock:
            _open.pop(run_id, None)
        from mlflow_dvc_plugin.autologging.run_end import finish_recording, log_end_status

        log_end_status(client, recording)
        finish_recording(client, recording)
    except Exception:
        _logger.debug("autologging failed at the end of a run", exc_info=True)
