"""The parts of autologging that are switched on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from mlflow_dvc_plugin.settings import AUTOLOG_PARTS, is_first_process, load_settings

NAME = "dvc"  # of the autologging integration


@dataclass(frozen=True)
class Parts:
    """What to log, and whether to suppress warnings; see :func:`mlflow_dvc_plugin.autolog`."""

    datasets: bool = True
    artifacts: bool = True
    params: bool = True
    metrics: bool = True
    plots: bool = True
    models: bool = True
    report: bool = False
    silent: bool = False


def select_parts() -> Parts | None:
    """The parts that ``autolog()``, or else the settings, switch on; None if autologging is off.

    It is off in all processes of a distributed job but the first, which logs for all of them.
    """
    if not is_first_process():
        return None
    utils: Any = sys.modules.get("mlflow.utils.autologging_utils")
    if utils is not None and utils._AUTOLOGGING_GLOBALLY_DISABLED:
        return None
    config = utils.AUTOLOGGING_INTEGRATIONS.get(NAME) if utils is not None else None
    if config:
        if config["disable"]:
            return None
        names = Parts.__dataclass_fields__
        return Parts(**{name: config.get(f"log_{name}", config.get(name)) for name in names})
    from mlflow_dvc_plugin.capturing import find_project

    settings = load_settings()
    if not settings.autolog:
        # Not needed if the environment decides: an error in the project becomes a tag later.
        settings = load_settings(find_project(settings=settings))
    if settings.disable or not settings.autolog:
        return None
    return Parts(**{name: name in settings.autolog for name in AUTOLOG_PARTS})
