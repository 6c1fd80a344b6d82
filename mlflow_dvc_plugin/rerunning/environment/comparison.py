"""The packages whose versions are not the recorded ones."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from packaging.version import InvalidVersion

from mlflow_dvc_plugin.rerunning.environment.interpreter import Interpreter
from mlflow_dvc_plugin.rerunning.environment.pins import PYTHON, Pin


class PackageDifference(NamedTuple):
    """A package, or Python itself, with another version than before.

    Attributes:
        name: of the package; ``python`` for Python itself.
        old: the recorded version; several versions if it depends on the machine.
        new: the version that is there; None if the package is not installed.
    """

    name: str
    old: str
    new: str | None


def compare_packages(pins: Iterable[Pin], interpreter: Interpreter) -> list[PackageDifference]:
    """Compare recorded versions with those of an interpreter; what differs, by name."""
    recorded: dict[str, list[Pin]] = {}
    for pin in pins:
        if _applies(pin, interpreter):
            recorded.setdefault(pin.name, []).append(pin)
    found = []
    for name, group in recorded.items():
        new = interpreter.version if name == PYTHON else interpreter.packages.get(name)
        if new is None and any(pin.may_be_absent for pin in group):
            continue
        if new is None or not any(_is_same(pin, new) for pin in group):
            old = ", ".join(dict.fromkeys(pin.version for pin in group))
            found.append(PackageDifference(name, old, new))
    return sorted(found)


def _applies(pin: Pin, interpreter: Interpreter) -> bool:
    if pin.marker is None:
        return True
    minor = ".".join(interpreter.version.split(".")[:2])
    environment = {"extra": "", "python_version": minor, "python_full_version": interpreter.version}
    try:
        return pin.marker.evaluate(environment)
    except ValueError:  # it asks for what no machine has
        return True


def _is_same(pin: Pin, version: str) -> bool:
    with suppress(InvalidVersion):
        return pin.specifier.contains(version, prereleases=True)
    return pin.version == version
