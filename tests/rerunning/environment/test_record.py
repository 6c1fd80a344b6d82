"""The environment files of a run, and the interpreter that is there."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mlflow_dvc_plugin.rerunning.environment.interpreter import ask_interpreter, find_python
from mlflow_dvc_plugin.rerunning.environment.record import EnvironmentRecord, read_environment
from mlflow_dvc_plugin.tracking import find_run
from tests.history import History
from tests.project import Project


def read(
    project: Project, history: History, **artifacts: bytes | dict[str, str]
) -> EnvironmentRecord:
    """Read the environment of a run that has these artifacts."""
    run_id = history.run()
    for name, content in artifacts.items():
        folder = project.path.parent / "artifacts" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name.replace("_", ".")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.mkdir()
            for inner, text in content.items():
                (path / inner).write_text(text)
        history.client.log_artifact(run_id, str(path), "dvc")
    commit = project.git("rev-parse", "HEAD").strip()
    return read_environment(find_run(run_id, history.uri), str(project.path), commit)


@pytest.fixture
def project_store(project: Project, history: History) -> History:
    project.add("data.csv", "1")
    project.commit()
    return history


def test_the_artifacts_of_a_run_say_more_than_its_commit(
    project: Project, project_store: History
) -> None:
    project.write("requirements.txt", "numpy==1.0\n")
    project.write(".python-version", "3.9.1\n")
    commit = project.commit()
    old = read(project, project_store)
    assert (old.origin, old.file, old.python) == (
        f"commit {commit[:12]}",
        "requirements.txt",
        "3.9.1",
    )
    assert [pin.version for pin in old.pins] == ["1.0", "3.9.1"]
    new = read(project, project_store, requirements_txt=b"numpy==2.0\n")
    assert (new.origin, new.python) == ("the run's artifacts", None)
    assert [pin.version for pin in new.pins] == ["2.0"]


def test_the_most_exact_file_counts(project: Project, project_store: History) -> None:
    lock = b'[[package]]\nname = "numpy"\nversion = "2.0"\n'
    conda = b"dependencies: [python=3.11, numpy=1]"
    found = read(project, project_store, uv_lock=lock, conda_yaml=conda, requirements_txt=b"numpy")
    assert (found.file, found.python) == ("uv.lock", "3.11")
    assert [pin.name for pin in found.pins] == ["numpy", "python"]
    loose = read(project, project_store, conda_yaml=conda, requirements_txt=b"numpy>=2")
    assert loose.file == "conda.yaml"


def test_files_of_others_that_are_damaged_or_too_large_are_left_out(
    project: Project, project_store: History
) -> None:
    found = read(
        project,
        project_store,
        uv_lock=b"\0" * 100,
        poetry_lock={"poetry.lock": "numpy==1"},
        requirements_txt=b"numpy==1\n" + b"#" * 9_000_000,
        Pipfile_lock=b"[" * 100_000,
    )
    assert sorted(found.files) == ["Pipfile.lock", "uv.lock"]
    assert (found.file, found.pins) == ("", ())


def test_a_repository_has_its_environment_at_its_top(
    tmp_path: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path / "mono", subdir="ml")
    monkeypatch.chdir(project.path)
    project.add("data.csv", "1")
    (tmp_path / "mono/requirements.txt").write_text("numpy==1.0\n")
    commit = project.commit()
    run = find_run(history.run(), history.uri)
    found = read_environment(run, str(project.path), commit)
    assert [pin.version for pin in found.pins] == ["1.0"]


def test_an_interpreter_is_asked_for_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    found = ask_interpreter(sys.executable, os.environ)
    assert found is not None
    assert found.version == platform.python_version()
    assert found.packages["mlflow"] == version("mlflow")
    assert Path(found.site_packages, "mlflow").is_dir()
    for silent in ("/bin/false", "/bin/echo", "/no/such/python"):
        assert ask_interpreter(silent, os.environ) is None


def test_the_interpreter_is_that_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("bin", "work/.venv/bin", "here/other/bin"):
        path = tmp_path / folder
        path.mkdir(parents=True)
        for name in ("python", "python3"):
            (path / name).symlink_to(sys.executable)
    (tmp_path / "bin/python3").unlink()
    monkeypatch.chdir(tmp_path / "here")
    environ = {"PATH": str(tmp_path / "bin")}

    def find(command: str) -> str:
        found = find_python(command, str(tmp_path / "work"), environ)
        return os.path.relpath(found, tmp_path) if found != sys.executable else found

    assert find("python train.py") == "bin/python"
    assert find("./train.sh") == "bin/python"
    assert find("echo 'unbalanced") == "bin/python"
    assert find("") == "bin/python"
    assert find(".venv/bin/python3 train.py") == "work/.venv/bin/python3"
    assert find("other/bin/python -m train") == "here/other/bin/python"
    assert find(f"{tmp_path}/work/.venv/bin/python x") == "work/.venv/bin/python"
    environ["PATH"] = str(tmp_path)
    assert find("python train.py") == sys.executable
