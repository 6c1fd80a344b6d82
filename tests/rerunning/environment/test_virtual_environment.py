"""Reruns in new environments, made from what is recorded."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests import effort
from tests.history import Done, mlflow_dvc
from tests.project import Project, run

pytestmark = pytest.mark.slow

# MLflow without its server installs quickly.
SKINNY = "mlflow-skinny==3.1.4"
LOG = """\
import importlib.metadata, mlflow, sys
with mlflow.start_run():
    mlflow.log_metric("m", 1)
    mlflow.set_tag("prefix", sys.prefix)
    mlflow.set_tag("mlflow-skinny", importlib.metadata.version("mlflow-skinny"))
"""


def log_run(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Commit the project, and log a run in a store for which MLflow's database is not needed."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    project.write("fit.py", LOG)
    project.add("in.csv", "1")
    project.commit()
    run(sys.executable, "fit.py", cwd=project.path)
    (old,) = MlflowClient().search_runs(["0"])
    return str(old.info.run_id)


def check_environment(run_id: str, *options: str) -> Done:
    # The interpreter that is named is that of another environment.
    done = mlflow_dvc(
        "rerun", run_id, "--env", "--yes", "--json", *options, "--", sys.executable, "fit.py"
    )
    assert done.code == 0, done.stderr
    tags = MlflowClient().get_run(done.json["rerun"]).data.tags
    assert tags["mlflow-skinny"] == "3.1.4"
    assert tags["prefix"].endswith("/.dvc/tmp/environment")
    assert tags["dvc.rerun_of"] == run_id
    assert done.json["packages"] == []
    return done


def test_a_new_environment_is_made_from_requirements_with_pip(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not effort.full:
        pytest.skip("pip takes long to install what uv installs in seconds: --full")
    without_uv(monkeypatch, tmp_path)
    project.write("requirements.txt", f"-r base.txt\n{SKINNY}\n")
    project.write("base.txt", "pyyaml\n")
    run_id = log_run(project, tmp_path, monkeypatch)
    done = check_environment(run_id, "--keep", "--worktree", str(tmp_path / "then"))
    assert "new environment with 1 package of requirements.txt in commit" in done.stderr
    assert "-r base.txt" in done.stderr
    assert (tmp_path / "then/.dvc/tmp/environment/bin/python").exists()
    assert run("git", "status", "--porcelain", cwd=tmp_path / "then") == ""


def test_an_environment_without_mlflow_is_refused_and_leaves_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_uv(monkeypatch, tmp_path)
    project.write("requirements.txt", "pathspec\n")
    run_id = log_run(project, tmp_path, monkeypatch)
    done = mlflow_dvc("rerun", run_id, "--env", "--yes", "--", "python", "fit.py")
    assert (done.code, done.stdout) == (2, "")
    assert "does not install MLflow" in done.stderr.splitlines()[-1]
    assert list((project.path / ".dvc/tmp/rerun").glob("*")) == []


def without_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave only the programs on PATH that are needed."""
    (tmp_path / "bin").mkdir()
    for name in ("git", "sh"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    (tmp_path / "bin/python").symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_a_new_environment_is_made_from_a_lock_with_uv(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    project.write(
        "pyproject.toml",
        "[project]\nname = 'mine'\nversion = '1'\nrequires-python = '>=3.10'\n"
        f"dependencies = ['{SKINNY}']\n",
    )
    run("uv", "lock", "-q", cwd=project.path)
    run_id = log_run(project, tmp_path, monkeypatch)
    # The workspace is ahead of the run.
    project.write("uv.lock", "")
    done = check_environment(run_id)
    assert "of uv.lock in commit" in done.stderr
    assert "with files.pythonhosted.org, pypi.org" in done.stderr
    assert list((project.path / ".dvc/tmp/rerun").glob("*")) == []
