"""The Python environment in which a project is trained, where this process runs in another one.

That is so if mlflow-dvc was installed by itself, with pipx or `uv tool install`. Of the other
environment only files are read: nothing in it is run.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from typing import NamedTuple

PLUGIN = "mlflow-dvc-plugin"
MLFLOW = ("mlflow", "mlflow-skinny")
_FOLDERS = (".venv", "venv")


class Environment(NamedTuple):
    """A Python environment in the folder `prefix`."""

    prefix: str

    def find_version(self, *names: str) -> str | None:
        """The version of the first of these packages that is installed; None without one."""
        paths = glob.glob(
            os.path.join(glob.escape(self.prefix), "lib", "python3*", "site-packages")
        )
        for name in names:
            for found in Distribution.discover(name=name, path=paths):
                return found.version
        return None

    @property
    def is_closed(self) -> bool:
        """It has no packages but its own."""
        try:
            with open(os.path.join(self.prefix, "pyvenv.cfg"), encoding="utf-8") as file:
                text = file.read()
        except OSError:
            return True
        return re.search(r"(?im)^include-system-site-packages *= *true", text) is None


def find_other_environment(project: str) -> Environment | None:
    """The environment with MLflow that a project is trained in; None if this process runs in it.

    It is the one that is activated, or else ``.venv`` or ``venv`` in the project or above it.
    """
    own = os.path.realpath(sys.prefix)
    found = [Environment(prefix) for prefix in _list_prefixes(project)]
    if any(os.path.realpath(each.prefix) == own for each in found):
        return None
    return next((e for e in found if e.is_closed and e.find_version(*MLFLOW)), None)


def _list_prefixes(project: str) -> Iterator[str]:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if prefix := os.environ.get(name):
            yield prefix
    folder, parent = "", project
    while folder != parent:
        folder, parent = parent, os.path.dirname(parent)
        for name in _FOLDERS:
            prefix = os.path.join(folder, name)
            if os.path.isfile(os.path.join(prefix, "pyvenv.cfg")):
                yield prefix
