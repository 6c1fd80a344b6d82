"""The MLflow plugin: it tags every run that starts inside a DVC project.

MLflow loads this module in the middle of ``import mlflow``, and that import
fails if anything but an ImportError is raised here. So this module does nothing
until a run starts, and an error in capture never leaves it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_dvc_plugin.settings import Settings


def __getattr__(name: str) -> Any:
    """Create the class ``DvcRunContext`` when it is first used.

    Its base class is MLflow's. When a user's code imports that one first, MLflow
    asks for our class before it has finished the import of the base class.
    """
    if name != "DvcRunContext":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mlflow.tracking.context.abstract_context import RunContextProvider

    if name not in globals():
        bases = (_Context, RunContextProvider)
        globals()[name] = type(name, bases, {"__module__": __name__, "__doc__": _Context.__doc__})
    return globals()[name]


class _Context:
    """Gives each run the tags of the data state that it starts on.

    What MLflow makes later for a run gets the tags that the run has, or none.
    """

    def __init__(self) -> None:
        # MLflow asks for no tags when a run is resumed. So if the environment turns
        # autologging on, install the hooks as soon as MLflow's run functions are loaded.
        if os.environ.get("MLFLOW_DVC_AUTOLOG"):
            _install_hooks_on_import()

    def in_context(self) -> bool:
        """Return True: :meth:`tags` finds out, only once, whether there is a project."""
        return True

    def tags(self) -> dict[str, str]:
        """The tags; empty outside a project, and ``dvc.error`` if capture fails."""
        try:
            from mlflow_dvc_plugin.tag_request import read_request

            request = read_request()
            if request.is_start:
                return _build_tags(request.run_id) | _name_repeated_run(request.run_id)
            return _copy_tags(request.run_id)
        except Exception as err:  # noqa: BLE001 - capture must never break the training job
            return _describe_error(err)


def _build_tags(parent_id: str | None) -> dict[str, str]:
    """The tags of a run that starts now."""
    from mlflow_dvc_plugin.capturing.run_start import capture_run_start

    start = capture_run_start(save=True, program=True)
    if start is None:
        return {}
    if start.settings.autolog:
        _install_hooks()
    from mlflow_dvc_plugin.state.tags import MANIFEST

    tags = start.state.to_tags(start.settings.max_path_tags)
    if MANIFEST not in tags:
        import logging

        logging.getLogger(__name__).warning(
            "The data state of this run has %d DVC outs and does not fit into its tags. "
            "`mlflow-dvc restore` can restore the run only from its Git commit: commit the "
            "metafiles and keep the commit, or set MLFLOW_DVC_INCLUDE to the outs that you need.",
            len(start.state.entries),
        )
    return _refer_to_manifest(tags, parent_id, start.settings)


def _name_repeated_run(parent_id: str | None) -> dict[str, str]:
    """The tag of a run that `mlflow-dvc rerun` starts; its child runs have none."""
    repeated = os.environ.get("MLFLOW_DVC_RERUN_OF")
    if not repeated or parent_id:
        return {}
    from mlflow_dvc_plugin.state.tags import RERUN_OF

    return {RERUN_OF: repeated}


def _copy_tags(run_id: str | None) -> dict[str, str]:
    """The tags of an active run, for what belongs to it; none for a run that is not active."""
    from mlflow_dvc_plugin.tag_request import find_active_tags

    tags = {k: v for k, v in (find_active_tags(run_id) or {}).items() if k.startswith("dvc.")}
    if not tags:
        return {}
    from mlflow_dvc_plugin.capturing.run_start import find_settings

    settings, _ = find_settings(even_disabled=False)
    return {} if settings.disable else _refer_to_manifest(tags, run_id, settings)


def _refer_to_manifest(
    tags: dict[str, str], run_id: str | None, settings: Settings
) -> dict[str, str]:
    if run_id is None or settings.children == "full":
        return tags
    from mlflow_dvc_plugin.state.tags import refer_to_manifest
    from mlflow_dvc_plugin.tag_request import find_active_tags

    return refer_to_manifest(tags, run_id, find_active_tags)


def _describe_error(err: Exception) -> dict[str, str]:
    from mlflow_dvc_plugin.errors import MlflowDvcError
    from mlflow_dvc_plugin.state.tags import build_error_tags

    try:
        expected = isinstance(err, MlflowDvcError)
        return build_error_tags(str(err) if expected else f"{type(err).__name__}: {err}")
    except Exception:  # noqa: BLE001 - str(err) itself may fail
        return build_error_tags(type(err).__name__)


def _install_hooks_on_import() -> None:
    try:
        from mlflow.utils.import_hooks import register_post_import_hook

        register_post_import_hook(lambda _: _install_hooks(), "mlflow.tracking.fluent")
    except Exception:  # noqa: BLE001, S110 - tags() installs them when the first run starts
        pass


def _install_hooks() -> None:
    from mlflow_dvc_plugin.autologging import hooks

    hooks.install()
