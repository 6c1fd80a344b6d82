"""Runs that earlier releases recorded are found, checked and restored byte for byte."""

from __future__ import annotations

import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin import find_runs
from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import state_file
from tests import effort
from tests.conftest import copy_store
from tests.golden import sets
from tests.golden.sets import GoldenRun
from tests.history import mlflow_dvc
from tests.project import Project

_SETS = sets.list_sets()
each_set = pytest.mark.parametrize("version", _SETS)
bounded_sets = pytest.mark.parametrize("version", _SETS if effort.full else [_SETS[0], _SETS[-1]])


class Museum:
    """A clone of the repository of a golden set, and its runs in a store of today.

    Attributes:
        folder: it has the unpacked set.
        runs: each recorded run, and its id in this store.
    """

    def __init__(self, version: str, folder: Path, empty_store: Path) -> None:
        self.folder = folder
        sets.unpack(version, folder)
        self.repo = folder / "repo"
        subprocess.run(
            ["git", "clone", "-q", str(folder / sets.BUNDLE), str(self.repo)], check=True
        )
        self.store = copy_store(empty_store, folder)
        client = MlflowClient(self.store)
        ids: dict[str, str] = {}
        self.runs: list[tuple[GoldenRun, str]] = []
        for run in sets.read_runs(version):
            # The store gives each run a new id: what names another run names that.
            tags = {key: ids.get(value, value) for key, value in run.tags.items()}
            made = client.create_run("0", run_name=run.name, tags=tags)
            client.set_terminated(made.info.run_id)
            ids[run.run_id] = made.info.run_id
            self.runs.append((run, made.info.run_id))


@pytest.fixture
def museum(
    version: str, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Museum:
    made = Museum(version, tmp_path / "museum", empty_store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.store)
    monkeypatch.chdir(made.repo)
    return made


def read_hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@each_set
def test_runs_are_read_checked_and_restored_byte_for_byte(
    museum: Museum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = {}
    for root in {run.root for run, _ in museum.runs}:
        monkeypatch.chdir(museum.repo / root)
        ids = [run_id for run, run_id in museum.runs if run.root == root]
        checked.update({each["run_id"]: each for each in mlflow_dvc("check", *ids, "--json").json})
    for run, run_id in museum.runs:
        monkeypatch.chdir(museum.repo / run.root)
        state = load_state(run_id)
        assert state.data_hash == run.tags["dvc.data_hash"]
        assert state.status == run.tags["dvc.status"]

        # Nobody has what a run read that was modified, and was not saved.
        assert checked[run_id]["restorable"] is (state.status != "modified"), run.name
        assert not any(each["missing"] for each in checked[run_id]["entries"])

        out = tmp_path / "out" / run_id
        restore(run_id, out=out)
        assert read_hashes(out) == run.files
        if "tools/run.sh" in run.files:
            assert os.access(out / "tools/run.sh", os.X_OK)


@pytest.mark.slow
@bounded_sets
def test_runs_are_found_by_their_data(museum: Museum) -> None:
    runs = {run.name: (run, run_id) for run, run_id in museum.runs}
    used = {run_id for run, run_id in runs.values() if "data/images/empty" in run.files}
    run, run_id = runs["stage"]
    (hash_value,) = (e.hash for e in load_state(run_id).entries if e.path == "data/images")
    # What a stage used is its deps alone.
    assert {each.run_id for each in find_runs(path="data/images")} == used - {run_id}
    assert {each.run_id for each in find_runs(hash=hash_value)} == used - {run_id}
    assert run_id in {each.run_id for each in find_runs(path="prepared")}
    assert {each.run_id for each in find_runs(data_hash=run.tags["dvc.data_hash"])} >= {run_id}


@pytest.mark.slow
@bounded_sets
def test_runs_are_restored_into_their_project(
    museum: Museum, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run, run_id in museum.runs:
        project = Project(museum.repo / run.root)
        monkeypatch.chdir(project.path)
        restore(run_id)
        hashes = read_hashes(project.path)
        assert {path: hashes.get(path) for path in run.files} == run.files
        assert project.data_status() == {}
        state = capture(project.path)
        assert state is not None
        now = {e.path: e.hash for e in state.entries}
        recorded = {e.path: e.hash for e in load_state(run_id).entries if e.hash}
        assert run.name == "saved" or recorded.items() <= now.items()


@each_set
def test_an_exported_state_is_read(museum: Museum) -> None:
    state = state_file.read(str(museum.folder / sets.STATE))
    (clean,) = (run for run, _ in museum.runs if run.name == "clean")
    assert state.data_hash == clean.tags["dvc.data_hash"]
