"""This release of the plugin, in an environment that lacks it: its runs would not be tagged."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files

from packaging.requirements import Requirement

from mlflow_dvc_plugin.environments import PLUGIN
from mlflow_dvc_plugin.errors import RerunError

# What it needs to tag a run.
_NEEDED = ("pathspec", "pyyaml")


def copy_plugin(site_packages: str) -> list[str]:
    """Copy this package with its entry points; what it needs there to tag runs."""
    try:
        own = distribution(PLUGIN)
    except PackageNotFoundError as err:
        raise RerunError(
            f"{PLUGIN} is not installed here, so it cannot be installed in another environment. "
            f"Install it with `pip install {PLUGIN}`."
        ) from err
    package = str(files(__name__.partition(".")[0]))
    target = os.path.join(site_packages, os.path.basename(package))
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))
    info = f"{target}-{own.version}.dist-info"
    os.makedirs(info)
    for name in ("METADATA", "entry_points.txt"):
        with open(os.path.join(info, name), "w", encoding="utf-8") as file:
            file.write(own.read_text(name) or "")
    requirements = map(Requirement, own.requires or ())
    return [str(each) for each in requirements if each.name in _NEEDED]
