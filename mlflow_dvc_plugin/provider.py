"""The MLflow plugin: tags every run that is started inside a DVC project.

MLflow loads this module in the middle of ``import mlflow``, and breaks if
anything but an ImportError comes out of it. So nothing happens here until a
run starts, and nothing that then goes wrong leaves this module.
"""

from __future__ import annotations

import os
from typing import Any


def __getattr__(name: str) -> Any:
    """``DvcRunContext``, made when it is first asked for.

    Its base is MLflow's, and whoever imports that first makes MLflow come back
    here for the class while the base is only just there.
    """
    if name != "DvcRunContext":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mlflow.tracking.context.abstract_context import RunContextProvider

    if name not in globals():
        bases = (_Context, RunContextProvider)
        globals()[name] = type(name, bases, {"__module__": __name__, "__doc__": _Context.__doc__})
    return globals()[name]


class _Context:
    """Gives each run the tags of the data state it was started on."""

    def __init__(self) -> None:
        # A resumed run asks for no tags, so where the environment says so, MLflow
        # is hooked as soon as the module that starts runs is there.
        if os.environ.get("MLFLOW_DVC_AUTOLOG"):
            _hook_when_imported()

    def in_context(self) -> bool:
        """True: whether there is a project is found out once, in :meth:`tags`."""
        return True

    def tags(self) -> dict[str, str]:
        """The tags; none outside a project, ``dvc.error`` if capture failed."""
        try:
            return _tags()
        except Exception as err:  # noqa: BLE001 - a guest never breaks the job
            return _error_tags(err)


def _hook_when_imported() -> None:
    try:
        from mlflow.utils.import_hooks import register_post_import_hook

        register_post_import_hook(lambda _: _hook(), "mlflow.tracking.fluent")
    except Exception:  # noqa: BLE001, S110 - the first run's tags() will do
        pass


def _hook() -> None:
    from mlflow_dvc_plugin.autologging import hooks

    hooks.install()


def _tags() -> dict[str, str]:
    from mlflow_dvc_plugin.capturing.run_start import current
    from mlflow_dvc_plugin.state.tags import MANIFEST

    found = current()
    if found is None:
        return {}
    if found.settings.autolog:
        _hook()
    tags = found.state.to_tags(found.settings.max_path_tags)
    if MANIFEST not in tags:
        _warn_no_manifest(len(found.state.entries))
    return tags


def _error_tags(err: Exception) -> dict[str, str]:
    from mlflow_dvc_plugin.errors import MlflowDvcError
    from mlflow_dvc_plugin.state.tags import error_tags

    try:
        known = isinstance(err, MlflowDvcError)
        return error_tags(str(err) if known else f"{type(err).__name__}: {err}")
    except Exception:  # noqa: BLE001 - the error's own text may be broken
        return error_tags(type(err).__name__)


def _warn_no_manifest(count: int) -> None:
    import logging

    logging.getLogger(__name__).warning(
        "This run's %d DVC outs do not fit into its tags; to restore it, Git must keep its "
        "commit and the metafiles must be committed. MLFLOW_DVC_INCLUDE can name the outs "
        "that matter.",
        count,
    )
