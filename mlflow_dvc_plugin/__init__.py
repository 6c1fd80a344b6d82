"""Know which DVC data made an MLflow run, and bring it back.

Importing this package imports neither dvc nor mlflow: each name is loaded
when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_dvc_plugin.autologging.integration import autolog, log_state
    from mlflow_dvc_plugin.capturing import capture
    from mlflow_dvc_plugin.datasets.constructor import from_dvc
    from mlflow_dvc_plugin.errors import MlflowDvcError
    from mlflow_dvc_plugin.lineage.diff import diff
    from mlflow_dvc_plugin.lineage.search.find import find_runs
    from mlflow_dvc_plugin.restoring import RestoreResult, restore
    from mlflow_dvc_plugin.restoring.run_data.state import load_state
    from mlflow_dvc_plugin.run_files import filesystem, open  # noqa: A004
    from mlflow_dvc_plugin.state import DataState, Entry
    from mlflow_dvc_plugin.version import __version__

__all__ = [
    "DataState",
    "Entry",
    "MlflowDvcError",
    "RestoreResult",
    "__version__",
    "autolog",
    "capture",
    "diff",
    "filesystem",
    "find_runs",
    "from_dvc",
    "load_state",
    "log_state",
    "open",
    "restore",
]

_HOMES = {
    "DataState": "state",
    "Entry": "state",
    "MlflowDvcError": "errors",
    "RestoreResult": "restoring",
    "__version__": "version",
    "autolog": "autologging.integration",
    "capture": "capturing",
    "diff": "lineage.diff",
    "filesystem": "run_files",
    "find_runs": "lineage.search.find",
    "from_dvc": "datasets.constructor",
    "load_state": "restoring.run_data.state",
    "log_state": "autologging.integration",
    "open": "run_files",
    "restore": "restoring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
