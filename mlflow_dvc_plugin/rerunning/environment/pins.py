"""The versions that an environment file records: lock files, requirements.txt and conda.yaml.

The files are input from others: what cannot be read in them is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, Specifier
from packaging.utils import canonicalize_name

PYTHON, PYTHON_FILE = "python", ".python-version"
_MAX_LINE = 1000  # characters
_LOCAL_SOURCES = ("editable", "virtual", "directory")
_PLAIN_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]*\Z")
_CONDA = re.compile(r"(?:[\w./-]+::)?([\w.-]+) *(==?) *([0-9][\w.!+-]*)(?:=[\w.*-]+)?\Z", re.ASCII)
# Conda has them under another name than PyPI.
_PYPI_NAMES = {"pytorch": "torch"}


class Pin(NamedTuple):
    """A version that is recorded.

    Attributes:
        name: of the package, as PyPI normalizes it; ``python`` for Python itself.
        version: what is recorded, to show it.
        specifier: the versions that are the recorded one.
        marker: on which machines and Pythons it counts; None for all.
        may_be_absent: it may be there for another machine or another group of packages.
    """

    name: str
    version: str
    specifier: Specifier
    marker: Marker | None = None
    may_be_absent: bool = False


def read_pins(file: str, data: bytes) -> tuple[Pin, ...]:
    """The versions that a file records, Python's among them if it says it; none of garbage."""
    try:
        return tuple(_READERS[file](data.decode("utf-8-sig", "replace")))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return ()


def read_requirements(text: str) -> Iterator[tuple[str, Requirement | None]]:
    """The entries of a requirements.txt, and what those that name a package mean."""
    lines = re.sub(r"\\\r?\n", " ", text).splitlines()
    for line in lines:
        entry = re.sub(r"(^|\s)#.*", "", line).strip()
        if not entry:
            continue
        requirement = re.split(r"\s--", entry)[0]  # without hashes
        with suppress(InvalidRequirement, RecursionError):
            if len(requirement) <= _MAX_LINE:
                yield entry, Requirement(requirement)
                continue
        yield entry, None


def _read_requirements_file(text: str) -> Iterator[Pin]:
    for _, requirement in read_requirements(text):
        for specifier in requirement.specifier if requirement else ():
            if requirement and specifier.operator in ("==", "==="):
                name, version = canonicalize_name(requirement.name), specifier.version
                yield Pin(name, version, specifier, requirement.marker)
                break


def _read_lock(text: str) -> Iterator[Pin]:
    """Read uv.lock, poetry.lock and pdm.lock, which list packages for all platforms and groups."""
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib
    for package in tomllib.loads(text)["package"]:
        source = package.get("source", {})
        if source.get("type") in _LOCAL_SOURCES or "path" in package or "editable" in package:
            continue
        if not source.keys() & _LOCAL_SOURCES:
            yield from _to_pin(package.get("name"), package.get("version"), may_be_absent=True)


def _read_pipfile_lock(text: str) -> Iterator[Pin]:
    document = json.loads(text)
    requires = document.get("_meta", {}).get("requires", {})
    python = requires.get("python_full_version") or requires.get("python_version")
    yield from _to_pin(PYTHON, python, is_start=True)
    for group in ("default", "develop"):
        for name, package in document.get(group, {}).items():
            version = str(package.get("version", "")).removeprefix("==")
            yield from _to_pin(name, version, may_be_absent=True)


def _read_conda_file(text: str) -> Iterator[Pin]:
    """Read a Conda environment file, where ``name=1.2`` means 1.2 and all 1.2.x."""
    import yaml

    # It takes every value for a string, and expands no merge keys.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    with suppress(yaml.YAMLError):
        for item in yaml.load(text, loader)["dependencies"]:  # noqa: S506 - makes no objects
            if isinstance(item, dict):
                for line in item.get("pip") or ():
                    if isinstance(line, str):
                        yield from _read_requirements_file(line)
            elif isinstance(item, str) and (match := _CONDA.match(item)):
                name, operator, version = match.groups()
                name = _PYPI_NAMES.get(name.lower(), name)
                # It may be something else than a Python package.
                yield from _to_pin(name, version, operator == "=", may_be_absent=name != PYTHON)


def _read_python_version(text: str) -> Iterator[Pin]:
    """Read a .python-version: its first line that is no comment."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    yield from _to_pin(PYTHON, lines[0].removeprefix("cpython-") if lines else None, is_start=True)


def _to_pin(
    name: object, version: object, is_start: bool = False, may_be_absent: bool = False
) -> Iterator[Pin]:
    """A pin of a version, or of all versions that start so; nothing if it is none."""
    if not isinstance(name, str) or not isinstance(version, str):
        return
    if len(name) + len(version) <= _MAX_LINE and _PLAIN_VERSION.match(version):
        with suppress(InvalidSpecifier):
            specifier = Specifier(f"=={version}.*" if is_start else f"=={version}")
            yield Pin(canonicalize_name(name), version, specifier, None, may_be_absent)


_READERS: Mapping[str, Callable[[str], Iterator[Pin]]] = {
    "uv.lock": _read_lock,
    "poetry.lock": _read_lock,
    "pdm.lock": _read_lock,
    "Pipfile.lock": _read_pipfile_lock,
    "requirements.txt": _read_requirements_file,
    "conda.yaml": _read_conda_file,
    "conda.yml": _read_conda_file,
    "environment.yaml": _read_conda_file,
    "environment.yml": _read_conda_file,
    PYTHON_FILE: _read_python_version,
}
# The most exact come first.
FILES = tuple(_READERS)
