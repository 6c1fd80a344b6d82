"""Which versions of which software work together here."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from mlflow_dvc_plugin.environments import PLUGIN
from mlflow_dvc_plugin.errors import GitError
from mlflow_dvc_plugin.git import run_git
from mlflow_dvc_plugin.version import __version__

# Without these, no run gets tags.
_NEEDED_TO_TAG = ("mlflow", "pathspec", "pyyaml")
# What DVC consists of, and its kinds of remotes.
_DVC_PARTS = ("dvc-data", "dvc-objects", "fsspec", "scmrepo")
_DVC_REMOTES = ("azure", "gdrive", "gs", "hdfs", "http", "oss", "s3", "ssh", "webdav", "webhdfs")


@dataclass(frozen=True)
class Mismatch:
    """A package in a version that the plugin does not work with."""

    installed: str
    needed: str


@dataclass(frozen=True)
class Software:
    """Versions; None for what is not installed.

    Attributes:
        packages: the versions of the packages that the plugin rests on, by name.
        missing: those of them that are not installed.
        mismatches: those of them that have the wrong version.
    """

    plugin: str
    folder: str
    python: str
    system: str
    git: str | None
    mlflow: str | None
    dvc: str | None
    packages: dict[str, str]
    missing: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]

    def find_problems(self) -> list[str]:
        """What keeps runs from being tagged, a sentence each."""
        missing = [name for name in self.missing if name in _NEEDED_TO_TAG]
        problems = [
            f"{each.installed} is installed, but this release needs {each.needed}. Run "
            f"`pip install '{each.needed}'`."
            for each in self.mismatches
        ]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            problems.append(
                f"{', '.join(missing)} {verb} not installed in this environment, so runs get no "
                f"tags. Run `pip install {' '.join(missing)}`."
            )
        return problems

    def find_remarks(self) -> list[str]:
        """What is worth knowing, a sentence each."""
        missing = [name for name in self.missing if name not in _NEEDED_TO_TAG]
        remarks = []
        if missing:
            remarks.append(
                f"Not installed here: {', '.join(missing)}. Runs are tagged, but some commands "
                "fail, such as `restore` without dvc. `pip install mlflow-dvc-plugin` adds them."
            )
        if self.git is None:
            remarks.append(
                "Git is not installed, so `restore --worktree`, `pin` and whatever needs a commit "
                "fail. Install Git."
            )
        return remarks


def examine_software() -> Software:
    """Find the versions of everything that the plugin rests on."""
    needed = _read_requirements()
    names = [*needed, *_DVC_PARTS, *(f"dvc-{name}" for name in _DVC_REMOTES)]
    found = {name: text for name in names if (text := _find_version(name))}
    # Whoever tags runs only may have the small MLflow.
    mlflow = found.get("mlflow") or _find_version("mlflow-skinny")
    if mlflow and "mlflow" not in found:
        found["mlflow-skinny"] = mlflow
    known = {**found, "mlflow": mlflow}
    mismatches = [
        Mismatch(f"{name} {installed}", f"{name}{specifier}")
        for name, specifier in needed.items()
        if (installed := known.get(name)) and not _contains(specifier, installed)
    ]
    return Software(
        plugin=__version__,
        folder=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        python=platform.python_version(),
        system=platform.platform(),
        git=_find_git_version(),
        mlflow=mlflow and ("" if "mlflow" in found else "skinny ") + mlflow,
        dvc=found.get("dvc"),
        packages={name: found[name] for name in sorted(found) if name not in ("mlflow", "dvc")},
        missing=tuple(name for name in sorted(needed) if not known.get(name)),
        mismatches=tuple(mismatches),
    )


def _read_requirements() -> dict[str, str]:
    """The versions that the plugin needs, by package; those of its extras do not count."""
    try:
        from packaging.requirements import Requirement

        lines = requires(PLUGIN) or []
    except (ImportError, PackageNotFoundError):
        return {}
    needed = {}
    for each in map(Requirement, lines):
        if each.marker is None or each.marker.evaluate({"extra": ""}):
            needed[each.name.lower()] = str(each.specifier)
    return needed


def _contains(specifier: str, installed: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(installed, prereleases=True)


def _find_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _find_git_version() -> str | None:
    try:
        return run_git(os.path.abspath(os.sep), "--version").decode().strip().rpartition(" ")[2]
    except GitError:
        return None
