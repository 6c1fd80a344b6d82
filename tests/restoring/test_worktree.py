"""Code and data together, in a Git worktree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlflow_dvc_plugin.errors import MlflowDvcError, RestoreError
from mlflow_dvc_plugin.restoring import restore
from tests.project import Project
from tests.record import record, snapshot

pytestmark = pytest.mark.slow


PIPELINE = "stages:\n  copy:\n    cmd: cp in.csv out.csv\n    deps: [in.csv]\n    outs: [out.csv]\n"


def in_worktree(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in snapshot(folder).items() if name != ".git"}


@pytest.fixture
def pipeline(project: Project, tmp_path: Path) -> Project:
    project.remote(tmp_path / "remote")
    project.write("dvc.yaml", PIPELINE)
    project.write("code.py", "first\n")
    project.add("in.csv", "1")
    project.dvc("repro", "-q")
    project.commit("first")
    project.push()
    return project


def test_a_run_s_code_and_data_stand_side_by_side(pipeline: Project, tmp_path: Path) -> None:
    first, recorded = snapshot(pipeline.path), record(pipeline.path)
    pipeline.write("code.py", "second\n")
    pipeline.add("in.csv", "2")
    pipeline.dvc("repro", "-q")
    pipeline.commit("second")
    pipeline.lose()
    second = snapshot(pipeline.path)

    restore(recorded, worktree=tmp_path / "then")

    assert snapshot(pipeline.path) == second
    assert in_worktree(tmp_path / "then") == first
    then = Project(tmp_path / "then")
    assert then.git("status", "--porcelain") == ""
    assert json.loads(then.dvc("status", "--json")) == {}
    assert "up to date" in then.dvc("repro")
    assert pipeline.git("status", "--porcelain") == ""


def test_a_relative_remote_of_the_project_is_found(pipeline: Project, tmp_path: Path) -> None:
    pipeline.dvc("remote", "modify", "-q", "store", "url", "../remote")
    pipeline.commit("relative")
    recorded = record(pipeline.path)
    pipeline.lose()
    restore(recorded, worktree=tmp_path / "far" / "then")
    assert (tmp_path / "far/then/out.csv").read_text() == "1"


def test_a_state_that_was_never_committed_stands_on_its_commit(
    pipeline: Project, tmp_path: Path
) -> None:
    pipeline.add("in.csv", "2")
    pipeline.dvc("repro", "-q")
    recorded = record(pipeline.path)
    restore(recorded, worktree=tmp_path / "then")
    then = Project(tmp_path / "then")
    assert (then.path / "out.csv").read_text() == "2"
    assert json.loads(then.dvc("status", "--json")) == {}


def test_data_that_its_commit_never_made_is_kept_out_of_git(
    project: Project, tmp_path: Path
) -> None:
    project.write("dvc.yaml", PIPELINE.replace("out.csv", "data/out.csv"))
    project.add("in.csv", "1")
    project.write("data/.gitkeep", "")
    project.commit("nothing was made yet")
    project.dvc("repro", "-q")
    restore(record(project.path), worktree=tmp_path / "then")
    then = Project(tmp_path / "then")
    assert (then.path / "data/out.csv").read_text() == "1"
    changed = then.git("status", "--porcelain", "--untracked-files=all").split()
    assert changed == ["??", "data/.gitignore", "??", "dvc.lock"]
    assert snapshot(project.path)["data/.gitignore"] == (then.path / "data/.gitignore").read_bytes()
    assert json.loads(then.dvc("status", "--json")) == {}


def test_a_worktree_of_a_project_in_a_sub_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sub = Project.create(tmp_path / "mono", subdir="ml")
    monkeypatch.chdir(sub.path)
    sub.add("a", "1")
    sub.commit()
    restore(record(sub.path), worktree=tmp_path / "then")
    assert (tmp_path / "then/ml/a").read_text() == "1"


def test_a_folder_in_use_is_refused(pipeline: Project, tmp_path: Path) -> None:
    (tmp_path / "then").mkdir()
    (tmp_path / "then/mine").write_text("x")
    with pytest.raises(RestoreError, match="not empty"):
        restore(record(pipeline.path), worktree=tmp_path / "then")


def test_what_cannot_be_had_leaves_no_worktree(pipeline: Project, tmp_path: Path) -> None:
    recorded = record(pipeline.path)
    pipeline.lose()
    (tmp_path / "remote").rename(tmp_path / "away")
    with pytest.raises(MlflowDvcError):
        restore(recorded, worktree=tmp_path / "then")
    assert not (tmp_path / "then").exists()
    assert len(pipeline.git("worktree", "list").splitlines()) == 1
