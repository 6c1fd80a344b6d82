"""The tests marked `versions`, on the built wheel, with old and new releases of what it needs.

nox -f .ci/noxfile.py                   all sessions; -l lists them
nox -f .ci/noxfile.py -p 3.12           those of one Python
nox -f .ci/noxfile.py -s bounds-3.10    one of them

What follows `--` goes to pytest. A Python that is not on PATH is skipped, and named.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import PathDistribution
from pathlib import Path
from zipfile import Path as ZipPath

import nox
from nox.virtualenv import UV

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
# A specifier in the metadata of a wheel; an upper bound comes first.
LOWER_BOUND = re.compile(r"(?:<\w+,)?>=([\w.]+)")
MLFLOW_2 = ["--constraint", str(ROOT / ".ci" / "mlflow-2.txt")]
DVC_FIRST = ["--constraint", str(ROOT / ".ci" / "dvc-3.61.txt")]
FIRST, LAST_2, NEWEST = "first", "last 2", "newest"


@nox.session(python=PYTHONS)
@nox.parametrize("dvc", [FIRST, NEWEST])
@nox.parametrize("mlflow", [FIRST, LAST_2, NEWEST])
def releases(session: nox.Session, mlflow: str, dvc: str) -> None:
    """Releases of MLflow and DVC; of all else, the newest that these take."""
    wheel = build_wheel(session)
    needs = {FIRST: pin(wheel, "mlflow"), LAST_2: ["mlflow<3"], NEWEST: []}[mlflow]
    needs += [] if mlflow == NEWEST else MLFLOW_2
    needs += [*pin(wheel, "dvc"), *DVC_FIRST] if dvc == FIRST else []
    session.install(f"{wheel}[test]", *needs)
    run_tests(session, "-m", "versions")


@nox.session(python=PYTHONS[:1])
def bounds(session: nox.Session) -> None:
    """All lower bounds of setup.cfg at once."""
    wheel = build_wheel(session)
    session.install(f"{wheel}[test]", *pin(wheel), *MLFLOW_2)
    run_tests(session, "-m", "versions")


@nox.session(python=PYTHONS)
def skinny(session: nox.Session) -> None:
    """Without DVC, as on the worker of a cluster."""
    wheel = build_wheel(session)
    session.install("mlflow-skinny", "pyyaml", "pathspec", *read_requirements(wheel, "test"))
    session.install("--no-deps", wheel)
    run_tests(session, "-m", "versions", "tests/test_skinny.py")


def build_wheel(session: nox.Session) -> str:
    """Build the wheel; its path."""
    folder = clear(session, "wheel")
    command = [UV, "build", "--quiet", "--wheel", f"--out-dir={folder}", str(ROOT)]
    session.run_install(*command, external=True)
    (wheel,) = map(str, folder.glob("*.whl"))
    return wheel


def clear(session: nox.Session, name: str) -> Path:
    """The path of a folder beside the environment, which does not exist."""
    folder = Path(session.virtualenv.location).resolve() / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def pin(wheel: str, name: str = "") -> list[str]:
    """The lower bounds of what the package needs, or of one of these, as exact versions."""
    needs = [need for need in read_requirements(wheel) if re.match(rf"{name}\b", need)]
    return [LOWER_BOUND.sub(r"==\1", need) for need in needs]


def read_requirements(wheel: str, extra: str = "") -> list[str]:
    """What the package itself needs, or one of its extras."""
    (metadata,) = (path for path in ZipPath(wheel).iterdir() if path.name.endswith(".dist-info"))
    needs = [need.partition("; extra ==") for need in PathDistribution(metadata).requires or []]
    return [need for need, _, name in needs if name.strip(" \"'") == extra]


def run_tests(session: nox.Session, *args: str) -> None:
    """Run tests away from the sources, so that they import what is installed."""
    clone = clear(session, "clone")
    elsewhere = shutil.ignore_patterns("mlflow_dvc_plugin", ".ci", ".git", ".venv", "__pycache__")
    shutil.copytree(ROOT, clone, ignore=elsewhere, symlinks=True)
    session.chdir(clone)
    session.run("python", "-m", "pytest", "-q", *args, *session.posargs)
