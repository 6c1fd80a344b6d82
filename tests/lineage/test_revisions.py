"""Git revisions in the place of runs, and what can be required of a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.history import History, mlflow_dvc
from tests.project import Project


@pytest.fixture
def commits(project: Project, tmp_path: Path) -> tuple[str, str]:
    """Two commits: the second one changes a file, removes one and adds one."""
    project.remote(tmp_path / "remote")
    project.add("a.csv", "one")
    project.add("b.csv", "b")
    project.push()
    first = project.commit()
    project.add("a.csv", "two")
    project.add("c.csv", "c")
    project.git("rm", "-q", "b.csv.dvc")
    return first, project.commit()


def changes(*args: str) -> dict[str, list[str]]:
    found = mlflow_dvc("diff", *args, "--json").json
    return {group: [item["path"] for item in items] for group, items in found.items()}


def test_the_difference_of_two_revisions_is_that_of_dvc(
    commits: tuple[str, str], project: Project
) -> None:
    first, second = commits
    expected = {"added": ["c.csv"], "removed": ["b.csv"], "modified": ["a.csv"]}
    with project.opened() as repo:
        found = repo.diff(first, second)
    found["removed"] = found["deleted"]
    assert {group: [item["path"] for item in found[group]] for group in expected} == expected
    for old, new in ((first, second), ("HEAD~1", "HEAD"), (first[:8], "main")):
        assert changes(old, new) == expected
    assert changes("HEAD") == {"added": [], "removed": [], "modified": []}


@pytest.mark.usefixtures("commits")
def test_a_run_is_compared_with_a_revision(project: Project, history: History) -> None:
    run_id = history.run()
    assert changes("HEAD~1", run_id)["modified"] == ["a.csv"]
    # Digits that begin a run's id mean that run, whatever commit they begin, too.
    digit = run_id[:1]
    project.git("branch", digit, "HEAD~1")
    assert changes(digit, "HEAD")["modified"] == []


@pytest.mark.usefixtures("commits", "history")
def test_what_is_neither_a_run_nor_a_revision() -> None:
    assert "'no-such'" in mlflow_dvc("diff", "no-such", "HEAD").error
    assert "'0000000'" in mlflow_dvc("diff", "0000000", "HEAD").error
    assert "--output=x" in mlflow_dvc("diff", "--", "--output=x", "HEAD").error


def test_a_revision_is_checked_by_its_metafiles(commits: tuple[str, str]) -> None:
    old, new = (mlflow_dvc("check", rev, "--require", "pushed", "--json") for rev in commits)
    assert (old.code, new.code) == (0, 1)
    (found,) = new.json
    assert (found["run_id"], found["revision"], found["restorable"]) == (None, commits[1], True)
    assert found["unmet"] == {"pushed": "the remote does not have all of a.csv, c.csv"}
    assert mlflow_dvc("check", commits[1]).stdout.endswith("1 revision can be restored.\n")


def test_what_a_run_must_meet(project: Project, history: History, tmp_path: Path) -> None:
    project.remote(tmp_path / "remote")
    project.add("a.csv", "one")
    project.commit()
    run_id = history.run()
    unverified = history.run(tags={**history.tags(run_id), "dvc.status": "unverified"})

    def unmet(run: str) -> list[str]:
        done = mlflow_dvc("check", run, "--require", "pinned,clean,pushed", "--json")
        (found,) = done.json
        names = list(found.get("unmet", {}))
        assert done.code == bool(names)
        return names

    assert unmet(run_id) == ["pushed", "pinned"]
    assert unmet(unverified) == ["clean", "pushed", "pinned"]
    project.push()
    assert unmet(run_id) == ["pinned"]
    mlflow_dvc("pin", run_id)
    assert unmet(run_id) == []
    lines = mlflow_dvc("check", unverified, "--require", "clean").stdout.splitlines()
    assert "  not clean: the status of its data is unverified" in lines


@pytest.mark.usefixtures("project")
def test_an_unknown_requirement_is_wrong_usage() -> None:
    done = mlflow_dvc("check", "HEAD", "--require", "pushed,shiny")
    assert (done.code, done.stdout) == (2, "")
    assert "'shiny' is none of clean, pushed, pinned." in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("commits")
def test_the_hook_refuses_to_push_data_that_is_not_pushed(project: Project, tmp_path: Path) -> None:
    hooks = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
    (hook,) = yaml.safe_load(hooks.read_text())
    script = project.write(".git/hooks/pre-push", f"#!/bin/sh\nexec {hook['entry']}\n")
    script.chmod(0o755)
    project.git("init", "-q", "--bare", str(tmp_path / "origin"))
    push = ["git", "push", "-q", str(tmp_path / "origin"), "main"]
    refused = subprocess.run(push, cwd=project.path, capture_output=True, text=True, check=False)
    assert refused.returncode
    assert "the remote does not have all of a.csv, c.csv" in refused.stdout + refused.stderr
    project.push()
    subprocess.run(push, cwd=project.path, check=True)
