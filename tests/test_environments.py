"""mlflow-dvc in an environment of its own, as pipx installs it, beside that of a project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from mlflow_dvc_plugin.environments import find_other_environment
from tests.project import Project

RUN = """
import mlflow
mlflow.set_tracking_uri({store!r})
with mlflow.start_run() as run:
    print(run.info.run_id)
"""


def make_environment(folder: Path) -> Path:
    """Make an environment with the packages of this one, except for the plugin."""
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for item in Path(sysconfig.get_path("purelib")).iterdir():
        if "mlflow_dvc_plugin" not in item.name:
            (packages / item.name).symlink_to(item)
    return packages


def find_problems(**env: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "mlflow_dvc_plugin.cli", "status", "--json"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    problems: list[str] = json.loads(done.stdout)["problems"]
    return problems


@pytest.mark.slow
def test_status_says_that_the_environment_of_a_project_lacks_the_plugin(
    project: Project, store: str, tmp_path: Path
) -> None:
    project.remote(tmp_path / "remote")
    project.add("data.csv", "1")
    project.commit()
    project.push()
    packages = make_environment(project.path / ".venv")
    python = project.path / ".venv" / "bin" / "python"

    def run() -> str:
        done = subprocess.run(
            [python, "-c", RUN.format(store=store)], capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()[-1]

    def show(run_id: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "show", run_id]
        return subprocess.run(
            [*command, "--tracking-uri", store], capture_output=True, text=True, check=False
        )

    assert "has no DVC tags" in show(run()).stderr
    expected = (
        f"Runs that start in {project.path}/.venv get no tags, because the plugin is not installed "
        f"there: `{python} -m pip install mlflow-dvc-plugin`."
    )
    assert find_problems() == [expected]
    assert find_problems(VIRTUAL_ENV=str(project.path / ".venv")) == [expected]

    installed = [i for i in Path(sysconfig.get_path("purelib")).iterdir() if "mlflow_dvc" in i.name]
    for item in installed:
        (packages / item.name).symlink_to(item)
    assert find_problems() == []
    done = show(run())
    assert done.returncode == 0, done.stderr
    assert "data.csv" in done.stdout


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an activated environment, and in it what pip notes of a package."""
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "environment"
    venv.create(folder, symlinks=True)
    install(folder, "mlflow", "2.14.0")
    monkeypatch.setenv("VIRTUAL_ENV", str(folder))
    return folder


def install(folder: Path, name: str, version: str) -> None:
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    notes = packages / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    notes.parent.mkdir()
    notes.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_status_says_that_the_dvc_of_a_project_is_too_old(
    project: Project, tmp_path: Path, environment: Path
) -> None:
    project.remote(tmp_path / "remote")
    project.add("data.csv", "1")
    project.commit()
    project.push()
    install(environment, "mlflow-dvc-plugin", "0.1.0")
    install(environment, "dvc", "2.58.2")
    (problem,) = find_problems()
    assert problem.startswith(f"DVC 2.58.2 in {environment} may not read what this mlflow-dvc")


def test_an_environment_that_shares_packages_or_lacks_mlflow_is_not_judged(
    environment: Path, tmp_path: Path
) -> None:
    found = find_other_environment(str(tmp_path))
    assert found is not None
    assert found.prefix == str(environment)
    assert found.find_version("mlflow-dvc-plugin") is None
    config = environment / "pyvenv.cfg"
    text = config.read_text()
    config.write_text(text.replace("packages = false", "packages = true"))
    assert find_other_environment(str(tmp_path)) is None
    config.write_text(text)
    next(environment.glob("lib/*/site-packages/mlflow-*/METADATA")).unlink()
    next(environment.glob("lib/*/site-packages/mlflow-*")).rmdir()
    assert find_other_environment(str(tmp_path)) is None


def test_the_environment_that_mlflow_dvc_runs_in_is_no_other(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    assert find_other_environment(str(tmp_path)) is None
