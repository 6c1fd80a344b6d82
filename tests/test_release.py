"""A release: its notes, what it publishes, and what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import mlflow_dvc_plugin
from mlflow_dvc_plugin.errors import NoRecordedStateError
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.tracking import Run

ROOT = Path(__file__).parents[1]


def notes(version: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".ci" / "release_notes.py"), version]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_notes_of_a_release_are_its_part_of_the_changelog() -> None:
    done = notes("0.1.0")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert done.returncode == 0
    assert done.stdout.startswith("### Added\n\n- Every MLflow run ")
    assert done.stdout in changelog
    # Nothing of another version, and nothing left out.
    assert changelog.endswith(done.stdout)


@pytest.mark.parametrize("version", ["9.9.9", "Unreleased", "0.1", "0.1.0.*", ""])
def test_a_version_without_a_dated_part_stops_the_release(version: str) -> None:
    done = notes(version)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "CHANGELOG.md has nothing below" in done.stderr


@pytest.fixture
def jobs() -> dict[str, Any]:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert "secrets." not in text
    workflow: dict[str, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    return dict(workflow["jobs"])


def test_only_what_was_tested_is_published_and_without_a_secret(jobs: dict[str, Any]) -> None:
    publish = jobs["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert set(publish["needs"]) == {"build", "check", "try"}
    # Code of the repository must not run where PyPI trusts it.
    used = [step.get("uses", "").partition("@")[0] for step in publish["steps"]]
    assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]


def test_no_other_job_may_publish(jobs: dict[str, Any]) -> None:
    for name, job in jobs.items():
        granted = {scope for scope, access in job["permissions"].items() if access == "write"}
        assert granted == {"publish": {"id-token"}, "announce": {"contents"}}.get(name, set())


def test_the_page_names_what_a_release_supports() -> None:
    page = " ".join((ROOT / "docs/releases.md").read_text().split())
    setup = (ROOT / "setup.cfg").read_text()
    (oldest_dvc,) = re.findall(r"^    dvc>=(\d+\.\d+)", setup, re.MULTILINE)
    oldest, with_newest_python = re.findall(r"mlflow>=(\d+\.\d+)", setup)
    assert f"MLflow from {oldest} (from {with_newest_python} with Python 3.13)" in page
    assert f"DVC from {oldest_dvc}." in page
    found = re.findall(r"Python :: (3\.\d+)", setup)
    assert f"Python {found[0]} to {found[-1]}," in page


def test_every_public_name_is_documented_and_can_be_loaded() -> None:
    for name in mlflow_dvc_plugin.__all__:
        value = getattr(mlflow_dvc_plugin, name)
        assert name == "__version__" or value.__doc__, name


def test_a_newer_schema_is_refused_with_what_to_do() -> None:
    run = Run("a" * 32, "", "0", 0, {"dvc.schema": "2", "dvc.data_hash": "d" * 32})
    with pytest.raises(NoRecordedStateError, match=r"schema '2'.* Update mlflow-dvc-plugin"):
        load_state(run)
