"""What a recorded environment is made from, to be shown before anything is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlflow_dvc_plugin.errors import RerunError, join_some
from mlflow_dvc_plugin.rerunning.environment.pins import read_pins, read_requirements
from mlflow_dvc_plugin.rerunning.environment.record import PYPROJECT, EnvironmentRecord
from mlflow_dvc_plugin.units import format_count

UV_LOCK, REQUIREMENTS = "uv.lock", "requirements.txt"
# How to turn other files into a requirements.txt.
_EXPORTS = {
    "poetry.lock": f"poetry export --output {REQUIREMENTS}",
    "pdm.lock": f"pdm export --output {REQUIREMENTS}",
    "Pipfile.lock": f"pipenv requirements > {REQUIREMENTS}",
}
_CONDA_EXPORT = f"pip list --format freeze > {REQUIREMENTS}"
_HOST = re.compile(rb"[a-z+]+://(?:[^\s/\"'@]*@)?([^\s/\"'?#]+)", re.IGNORECASE)
_MAX_TEXT = 120  # characters of an entry
_SHOWN = 20


@dataclass(frozen=True)
class Installation:
    """What will be installed.

    Attributes:
        file: the name of the recorded file.
        record: where it was found, with all other files.
        count: how many packages it names.
        places: where packages come from: the hosts in a lock file; what in a
            requirements.txt is not just the name of a package.
    """

    file: str
    record: EnvironmentRecord
    count: int
    places: tuple[str, ...]

    def __str__(self) -> str:
        count = format_count(self.count, "package")
        places = f", with {join_some(self.places, _SHOWN)}" if self.places else ""
        return f"{count} of {self.file} in {self.record.origin}{places}"


def plan_installation(record: EnvironmentRecord) -> Installation:
    """Choose the recorded file to install from; a RerunError if there is none."""
    files = record.files
    if UV_LOCK in files and PYPROJECT in files:
        data = files[UV_LOCK]
        hosts = {host.decode("ascii", "replace")[:_MAX_TEXT] for host in _HOST.findall(data)}
        return Installation(UV_LOCK, record, len(read_pins(UV_LOCK, data)), tuple(sorted(hosts)))
    if REQUIREMENTS in files:
        entries = list(read_requirements(files[REQUIREMENTS].decode("utf-8-sig", "replace")))
        places = [text[:_MAX_TEXT] for text, each in entries if each is None or each.url]
        count = sum(each is not None for _, each in entries)
        return Installation(REQUIREMENTS, record, count, tuple(places))
    if UV_LOCK in files:
        raise RerunError(
            f"uv.lock is in {record.origin}, but not the pyproject.toml that belongs to it. Make "
            "the environment yourself, activate it, and leave --env out."
        )
    for name in files:
        if name != PYPROJECT:
            raise RerunError(
                f"{name} in {record.origin} cannot be installed by --env. Make the environment "
                f"yourself, activate it, and leave --env out. For later runs, `"
                f"{_EXPORTS.get(name, _CONDA_EXPORT)}` exports it."
            )
    raise RerunError(
        f"The run has no {UV_LOCK} or {REQUIREMENTS} of the project, in its artifacts or in its "
        "commit, so its environment is not recorded. Leave --env out."
    )
