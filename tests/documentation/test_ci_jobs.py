"""The jobs for GitHub and GitLab work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project import Project

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
# Keeps what it is asked for, and answers with the comment of `NUMBER`, if there is one.
GH = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in *--jq*) echo $NUMBER ;; esac
"""


@pytest.fixture
def branch(project: Project, tmp_path: Path) -> Project:
    """A branch that changes data."""
    project.remote(tmp_path / "remote")
    project.add("a.csv", "one")
    project.push()
    project.commit()
    project.git("checkout", "-q", "-b", "change")
    project.add("a.csv", "two")
    project.push()
    project.commit()
    return project


def run_shell(script: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("number", ["", "17"])
def test_the_github_action_keeps_one_comment(branch: Project, tmp_path: Path, number: str) -> None:
    action: Any = yaml.safe_load(
        (REPOSITORY / ".github/actions/data-report/action.yml").read_text()
    )
    compare, comment = action["runs"]["steps"]
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gh").write_text(GH)
    (tools / "gh").chmod(0o755)
    calls = tmp_path / "calls"
    env = {
        "BASE": "main",
        "HEAD": "change",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "COMMENTS": "repos/o/r/issues/5/comments",
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(calls),
        "NUMBER": number,
    }
    run_shell(compare["run"], branch.path, **env)
    run_shell(comment["run"], branch.path, **env)
    assert "`a.csv`" in (tmp_path / "summary").read_text()
    asked, written = calls.read_text().splitlines()
    assert 'startswith("<!-- mlflow-dvc diff -->")' in asked
    expected = {
        "": "api --method POST repos/o/r/issues/5/comments -F body=@data-report.md",
        "17": "api --method PATCH repos/o/r/issues/comments/17 -F body=@data-report.md",
    }
    assert written == expected[number]


def test_the_gitlab_job_works(branch: Project) -> None:
    (job,) = yaml.safe_load((REPOSITORY / ".gitlab/data-report.yml").read_text()).values()
    shas = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": "main", "CI_COMMIT_SHA": "change"}
    assert "`a.csv`" in run_shell("\n".join(job["script"]), branch.path, **shas)
