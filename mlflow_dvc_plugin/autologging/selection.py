"""What is to be logged: the arguments of ``autolog()``, else the settings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_dvc_plugin.autologging.recording import Parts

NAME = "dvc"


def chosen() -> Parts | None:
    """What to log of a run that begins now; None for nothing."""
    from mlflow_dvc_plugin.autologging.recording import Parts

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
    from mlflow_dvc_plugin.settings import AUTOLOG_PARTS, for_project, from_environment

    settings = from_environment()
    project = None if settings.autolog else find_project(settings=settings)
    if project is not None:
        settings = for_project(project)
    if settings.disable or not settings.autolog:
        return None
    return Parts(**{name: name in settings.autolog for name in AUTOLOG_PARTS})
