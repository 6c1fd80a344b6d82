"""The environment files that are recorded with a run, and the versions in them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.git import find_prefix, run_git
from mlflow_dvc_plugin.rerunning.code import apply_diff_to_copies
from mlflow_dvc_plugin.rerunning.environment.pins import (
    FILES,
    PYTHON,
    PYTHON_FILE,
    Pin,
    read_pins,
)
from mlflow_dvc_plugin.tracking import Run
from mlflow_dvc_plugin.tracking.artifacts import read_artifacts

_MAX_BYTES = 8 * 1024 * 1024  # of one file
PYPROJECT = "pyproject.toml"


@dataclass(frozen=True)
class EnvironmentRecord:
    """What is recorded of the environment in which a run ran.

    Attributes:
        origin: where the files are, such as ``the run's artifacts``.
        files: their bytes, by name.
        file: the one that records the packages; empty if they are not recorded.
        pins: the recorded versions, Python's among them.
    """

    origin: str
    files: Mapping[str, bytes]
    file: str
    pins: tuple[Pin, ...]

    def __str__(self) -> str:
        return f"{self.file} in {self.origin}" if self.file else ""

    def with_python(self, version: str) -> EnvironmentRecord:
        """The same with a version of Python that is known for certain; empty if it is not."""
        pins = read_pins(PYTHON_FILE, version.encode())
        packages = tuple(pin for pin in self.pins if pin.name != PYTHON)
        return replace(self, pins=(*packages, *pins)) if pins else self

    @property
    def python(self) -> str | None:
        """The recorded version of Python."""
        return next((pin.version for pin in self.pins if pin.name == PYTHON), None)


def read_environment(run: Run, root: str, commit: str, diff: bytes = b"") -> EnvironmentRecord:
    """Read the environment files of a run: its artifacts have them, or its Git commit.

    The difference to the commit counts, if it is given. In a subfolder of the repository,
    those at the top count if the project has none.
    """
    try:
        files = read_artifacts(run, "dvc", (*FILES, PYPROJECT), _MAX_BYTES)
    except MlflowDvcError:  # the store of the artifacts may be out of reach
        files = {}
    if not files.keys() & {*FILES}:
        files = _read_commit_files(root, commit)
        if diff:
            files = _apply_diff(root, files, diff)
        return _interpret(f"commit {commit[:12]}", files)
    return _interpret("the run's artifacts", files)


def _read_commit_files(root: str, commit: str) -> dict[str, bytes]:
    for prefix in dict.fromkeys((find_prefix(root), "")):
        paths = [prefix + name for name in (*FILES, PYPROJECT)]
        listing = run_git(root, "ls-tree", "-l", "-z", "--full-tree", commit, "--", *paths)
        files = {}
        for line in listing.decode(errors="replace").split("\0")[:-1]:
            meta, _, path = line.partition("\t")
            mode, _, oid, size = meta.split()
            if mode.startswith("100") and int(size) <= _MAX_BYTES:
                files[path.removeprefix(prefix)] = run_git(root, "cat-file", "blob", oid)
        if files.keys() & {*FILES}:
            return files
    return {}


def _apply_diff(root: str, files: Mapping[str, bytes], diff: bytes) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="mlflow-dvc-") as folder:
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        apply_diff_to_copies(root, folder, diff)
        found = {}
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                found[name] = file.read()
    return found


def _interpret(origin: str, files: Mapping[str, bytes]) -> EnvironmentRecord:
    """Take the versions of packages from the first file that has some, and so that of Python."""
    by_file = {name: read_pins(name, files[name]) for name in FILES if name in files}
    python = [pin for pins in by_file.values() for pin in pins if pin.name == PYTHON][:1]
    packages = {name: [pin for pin in pins if pin.name != PYTHON] for name, pins in by_file.items()}
    file = next((name for name, pins in packages.items() if pins), "")
    return EnvironmentRecord(origin, files, file, (*packages.get(file, ()), *python))
