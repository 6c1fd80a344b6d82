"""Every test runs in isolation: its own HOME, no system Git or DVC configuration."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import effort, forkserver

# DVC and MLflow are imported by what needs them: the process that only distributes the
# tests does without.
if TYPE_CHECKING:
    from tests.history import History
    from tests.project import Project

# Where the tests run in the background, a shell has interrupts ignored, here and in
# all that is started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Python keeps what it compiled, as it does where people train: otherwise each process that
# a test starts would compile the whole package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Windows has neither such terminals nor limits of processes.
_NEEDS_POSIX = ["cli/test_bar.py", "restoring/test_crash.py", "run_files/test_commands.py"]
collect_ignore = _NEEDS_POSIX if os.name == "nt" else []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="run everything, and the slow proofs in full: an hour"
    )


def pytest_configure(config: pytest.Config) -> None:
    effort.full = config.getoption("full")
    if effort.full and config.option.markexpr == "not slow":
        config.option.markexpr = ""


def pytest_xdist_auto_num_workers() -> int:
    """Twice the processors, for `-n auto`: half of the time, a test waits for another process."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True, scope="session")
def unsynced() -> None:
    forkserver.write_without_sync()


@pytest.fixture(autouse=True)
def isolate(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "DVC_", "GIT_", "VIRTUAL_ENV", "CONDA_PREFIX")):
            monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(home),
        "USERPROFILE": str(home),  # Windows' own name for it
        # Stages say `python`, and mean the one that runs the tests.
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "DVC_SITE_CACHE_DIR": str(home / "site-cache"),
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.com",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.com",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def forget_store() -> Iterator[None]:
    """What a test tells MLflow about store, experiment, runs and autologging ends with it."""
    yield
    fluent = sys.modules.get("mlflow.tracking.fluent")
    while fluent is not None and fluent.active_run():
        fluent.end_run()
    utils = sys.modules.get("mlflow.utils.autologging_utils")
    if utils is not None:
        utils.AUTOLOGGING_INTEGRATIONS.get("dvc", {}).clear()
    for module, name in (
        ("mlflow.tracking.fluent", "_active_experiment_id"),
        # An empty address, the public way to forget one, would hide the environment's.
        ("mlflow.tracking._tracking_service.utils", "_tracking_uri"),
    ):
        if module in sys.modules:
            setattr(sys.modules[module], name, None)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty Git and DVC project, which is also the working directory."""
    from tests.project import Project

    made = Project.create(tmp_path / "project")
    monkeypatch.chdir(made.path)
    return made


@pytest.fixture
def two(project: Project) -> Project:
    """A project with a file and a folder."""
    project.add("model.bin", "first")
    project.write("data/a", "a")
    project.write("data/sub/b", "b")
    project.add("data")
    project.commit()
    return project


@pytest.fixture(scope="session")
def server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server on the loopback interface."""
    folder = tmp_path_factory.mktemp("server")
    uri = copy_store(empty_store, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", uri, "--workers", "1"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            # Nothing here asks the server for jobs, and their runner takes long to start.
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
        )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an MLflow store without runs: making one takes a second."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> str:
    """The URI of an MLflow store without runs."""
    return copy_store(empty_store, tmp_path)


@pytest.fixture(scope="module")
def module_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of an MLflow store that the tests of a module share."""
    return copy_store(empty_store, tmp_path_factory.mktemp("store"))


def copy_store(empty_store: Path, folder: Path) -> str:
    path = folder / "mlflow.db"
    shutil.copyfile(empty_store, path)
    return f"sqlite:///{path}"


@pytest.fixture
def history(
    project: Project, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> History:
    """A store, which is also the one that commands ask."""
    from tests.history import History

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.remote(tmp_path / "remote")
    return History(store, project.path)
