"""Which project is captured, and where its Git repository and remote stand."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mlflow_dvc_plugin.capturing import capture, dvc_config, find_project
from mlflow_dvc_plugin.errors import SettingsError
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState
from tests.project import Project, run

OUT = "outs:\n- md5: 0123456789abcdef0123456789abcdef\n  hash: md5\n  path: {}\n"


def state_of(path: Path, settings: Settings | None = None) -> DataState:
    state = capture(path, settings)
    assert state is not None
    return state


def test_nearest_project_at_or_above_the_working_directory(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = project.path / "inner" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert find_project() == str(project.path)
    (project.path / "inner" / ".dvc").mkdir()
    assert find_project() == str(project.path / "inner")
    monkeypatch.chdir(project.path / ".dvc" / "tmp")
    assert find_project() == str(project.path)


def test_else_above_the_main_script(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert find_project() is None
    assert capture() is None
    main.__file__ = str(project.path / "src" / "train.py")
    assert find_project() == str(project.path)


def test_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    assert capture() is None


def test_root_from_the_environment(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    (other / ".dvc").mkdir(parents=True)
    monkeypatch.setenv("MLFLOW_DVC_ROOT", str(other))
    assert find_project() == str(other)
    monkeypatch.setenv("MLFLOW_DVC_ROOT", "../other")
    assert find_project() == str(other)
    # DVC's own variable names another workspace in some experiments.
    monkeypatch.delenv("MLFLOW_DVC_ROOT")
    monkeypatch.setenv("DVC_ROOT", str(other))
    assert find_project() == str(project.path)
    monkeypatch.setenv("MLFLOW_DVC_ROOT", str(tmp_path))
    with pytest.raises(SettingsError, match="MLFLOW_DVC_ROOT"):
        capture()


def test_disable(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert capture(settings=Settings(disable=True)) is None
    project.write("pyproject.toml", "[tool.mlflow-dvc]\ndisable = true\n")
    assert capture() is None
    monkeypatch.setenv("MLFLOW_DVC_DISABLE", "0")
    assert capture() is not None
    monkeypatch.setenv("MLFLOW_DVC_DISABLE", "1")
    assert capture() is None


@pytest.mark.versions
def test_include_and_exclude(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data/raw", "data/tmp", "model"):
        project.write(f"{name}.dvc", OUT.format(os.path.basename(name)))

    def paths() -> list[str]:
        return [entry.path for entry in state_of(project.path).entries]

    assert paths() == ["data/raw", "data/tmp", "model"]
    monkeypatch.setenv("MLFLOW_DVC_INCLUDE", "data/")
    assert paths() == ["data/raw", "data/tmp"]
    monkeypatch.setenv("MLFLOW_DVC_EXCLUDE", "tmp, x*")
    assert paths() == ["data/raw"]
    monkeypatch.setenv("MLFLOW_DVC_INCLUDE", "*,!model")
    assert paths() == ["data/raw"]


@pytest.mark.versions
def test_commit(project: Project, tmp_path: Path) -> None:
    assert state_of(project.path).git_commit is None
    project.write("a.dvc", OUT.format("a"))
    first = project.commit()
    assert state_of(project.path).git_commit == first
    project.git("pack-refs", "--all")
    assert state_of(project.path).git_commit == first
    second = project.commit()
    assert state_of(project.path).git_commit == second
    project.git("checkout", "-q", "--detach", first)
    assert state_of(project.path).git_commit == first
    project.git("checkout", "-q", "-b", "feature/x y".replace(" ", "-"))
    assert state_of(project.path).git_commit == first
    project.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"), second)
    (tmp_path / "tree" / ".dvc").mkdir(exist_ok=True)
    state = state_of(tmp_path / "tree")
    assert (state.git_commit, state.root) == (second, ".")
    project.git("checkout", "-q", "--orphan", "empty")
    assert state_of(project.path).git_commit is None


def test_commit_in_a_submodule(project: Project, tmp_path: Path) -> None:
    commit = project.commit()
    outer = tmp_path / "outer"
    outer.mkdir()
    run("git", "init", "-q", cwd=outer)
    allow = ["-c", "protocol.file.allow=always"]
    run("git", *allow, "submodule", "--quiet", "add", str(project.path), "inner", cwd=outer)
    state = state_of(outer / "inner")
    assert (state.git_commit, state.root) == (commit, ".")


def test_commit_with_reftable(tmp_path: Path) -> None:
    path = tmp_path / "git"
    path.mkdir()
    try:
        run("git", "init", "-q", "--ref-format=reftable", cwd=path)
    except AssertionError:
        pytest.skip("this Git has no reftable")
    run("git", "commit", "-q", "--allow-empty", "-m", "x", cwd=path)
    (path / ".dvc").mkdir()
    assert state_of(path).git_commit == run("git", "rev-parse", "HEAD", cwd=path).strip()


def test_lock_hash(project: Project) -> None:
    assert state_of(project.path).lock_hash is None
    lock = b"schema: '2.0'\r\n"
    project.write("dvc.yaml", "stages:\n  a: {cmd: x}\n")
    project.write("dvc.lock", lock)
    assert state_of(project.path).lock_hash == hashlib.md5(lock).hexdigest()
    project.write("sub/dvc.yaml", "")
    project.write("sub/dvc.lock", "schema: '2.0'\n")
    digests = [hashlib.md5(data).hexdigest() for data in (lock, b"schema: '2.0'\n")]
    text = f"dvc.lock\t{digests[0]}\nsub/dvc.lock\t{digests[1]}\n"
    state = state_of(project.path)
    assert state.lock_hash == hashlib.md5(text.encode()).hexdigest()
    assert state.metafiles["dvc.lock"] == lock
    assert set(state.metafiles) == {"dvc.yaml", "dvc.lock", "sub/dvc.yaml", "sub/dvc.lock"}


def test_default_remote(project: Project, tmp_path: Path) -> None:
    assert state_of(project.path).remote is None
    project.remote(tmp_path / "Store", name="Store")
    assert state_of(project.path).remote == "store"
    project.write(".dvc/config.local", "[core]\n    remote = mine\n")
    assert state_of(project.path).remote == "mine"
    config = Path(os.environ["XDG_CONFIG_HOME"], "dvc", "config")
    config.parent.mkdir(parents=True)
    config.write_text("[core]\n    remote = global\n")
    assert state_of(project.path).remote == "mine"
    project.write(".dvc/config.local", "")
    project.write(".dvc/config", "")
    assert state_of(project.path).remote == "global"


@pytest.mark.versions
@pytest.mark.parametrize("options", [[], ["--local"], ["--global"]])
def test_configuration_as_dvc_reads_it(
    project: Project, options: list[str], tmp_path: Path
) -> None:
    from dvc.repo import Repo

    project.dvc("cache", "dir", "-q", *options, str(tmp_path / "a cache"))
    project.dvc("remote", "add", "-q", *options, "Ab", "s3://bucket/path")
    ours = dvc_config.load_config(str(project.path))
    with Repo(str(project.path)) as repo:
        assert dvc_config.find_cache_dir(ours, str(project.path)) == repo.cache.local_cache_dir
        assert dvc_config.find_remote_url(ours, "ab") == repo.config["remote"]["ab"]["url"]
    assert dvc_config.find_remote_url(ours, "other") is None


@pytest.mark.parametrize(
    "first", ["", "import mlflow_dvc_plugin.capturing", "mlflow_dvc_plugin.capture"]
)
def test_public_name_is_a_function_whatever_was_imported_first(
    project: Project, first: str
) -> None:
    code = f"import mlflow_dvc_plugin\n{first}\nprint(mlflow_dvc_plugin.capture().status)"
    path = str(Path(__file__).parents[2])
    assert run(sys.executable, "-c", code, cwd=project.path, PYTHONPATH=path) == "clean\n"
