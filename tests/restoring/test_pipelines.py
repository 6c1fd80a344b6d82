"""Restore of what pipelines make: `dvc.lock`, running stages, changed pipelines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.errors import ProjectBusyError
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.state import Entry
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project
from tests.record import record, snapshot

pytestmark = pytest.mark.slow

# A stage's script: does its work, and first records what a run in it would.
SCRIPT = """
import json, pathlib, sys
from mlflow_dvc_plugin.capturing import capture

name, source, target = sys.argv[1:]
state = capture()
pathlib.Path(f"{name}.tags").write_text(json.dumps(state.to_tags()))
pathlib.Path(target).write_text(pathlib.Path(source).read_text() + name)
"""

PIPELINE = """
stages:
  prepare:
    cmd: python script.py prepare raw.csv prepared.csv
    deps: [raw.csv]
    outs: [prepared.csv]
  train:
    cmd: python script.py train prepared.csv model.txt
    deps: [prepared.csv]
    outs: [model.txt]
"""


@pytest.fixture
def pipeline(project: Project, tmp_path: Path) -> Project:
    project.remote(tmp_path / "remote")
    project.write("script.py", SCRIPT)
    project.write("dvc.yaml", PIPELINE)
    project.write(".gitignore", "*.tags\n")
    project.add("raw.csv", "one ")
    project.commit("pipeline")
    return project


def run_of(project: Project, stage: str) -> Run:
    """The run that a stage's script left."""
    tags = json.loads((project.path / f"{stage}.tags").read_text())
    return Run(stage.ljust(32, "0"), stage, "0", 0, tags)


def visible(project: Project) -> dict[str, bytes]:
    return {k: v for k, v in snapshot(project.path).items() if not k.endswith(".tags")}


def test_a_run_on_a_clean_commit_brings_back_every_metafile(pipeline: Project) -> None:
    pipeline.dvc("repro", "-q")
    pipeline.commit("first")
    first, recorded = visible(pipeline), record(pipeline.path)
    pipeline.add("raw.csv", "two ")
    pipeline.dvc("repro", "-q")
    pipeline.commit("second")
    assert visible(pipeline) != first

    restore(recorded)

    assert visible(pipeline) == first
    assert pipeline.data_status() == {}
    assert json.loads(pipeline.dvc("status", "--json")) == {}


def test_the_inputs_of_a_running_stage_come_back_and_its_outs_stay(pipeline: Project) -> None:
    pipeline.dvc("repro", "-q")
    recorded = run_of(pipeline, "train")
    assert recorded.tags["dvc.stage"] == "train"
    first = visible(pipeline)
    pipeline.add("raw.csv", "two ")
    pipeline.dvc("repro", "-q")
    second = visible(pipeline)

    result = restore(recorded)

    now = visible(pipeline)
    assert now["raw.csv"] == first["raw.csv"]
    assert now["prepared.csv"] == first["prepared.csv"]
    assert now["model.txt"] == second["model.txt"]
    assert result.kept == ["model.txt"]
    assert pipeline.data_status() == {}
    assert set(json.loads(pipeline.dvc("status", "--json"))) == {"train"}
    pipeline.dvc("repro", "-q")
    assert visible(pipeline) == first


def test_a_run_of_the_very_first_repro_comes_back_without_a_commit_of_it(
    pipeline: Project,
) -> None:
    pipeline.dvc("repro", "-q")
    first, recorded = visible(pipeline), run_of(pipeline, "train")
    pipeline.commit("first")
    pipeline.add("raw.csv", "two ")
    pipeline.dvc("repro", "-q")
    pipeline.commit("second")
    restore(recorded)
    now = visible(pipeline)
    assert {k: now[k] for k in ("raw.csv", "prepared.csv", "raw.csv.dvc")} == {
        k: first[k] for k in ("raw.csv", "prepared.csv", "raw.csv.dvc")
    }


def test_a_pipeline_that_changed_since_comes_back_with_its_commit(pipeline: Project) -> None:
    pipeline.dvc("repro", "-q")
    pipeline.commit("first")
    first, recorded = visible(pipeline), record(pipeline.path)
    pipeline.write("dvc.yaml", PIPELINE.replace("prepare:", "clean:").replace("model", "net"))
    pipeline.dvc("repro", "-q")
    pipeline.commit("second")
    restore(recorded)
    now = visible(pipeline)
    assert {k: now[k] for k in first if k != ".gitignore"} == {
        k: v for k, v in first.items() if k != ".gitignore"
    }
    assert pipeline.data_status() == {}


def test_data_that_became_a_pipeline_s_out_comes_back_as_it_was(pipeline: Project) -> None:
    pipeline.dvc("repro", "-q")
    pipeline.commit("first")
    first, recorded = visible(pipeline), record(pipeline.path)
    pipeline.dvc("remove", "-q", "raw.csv.dvc")
    more = "  download:\n    cmd: printf three > raw.csv\n    outs: [raw.csv]\n"
    pipeline.write("dvc.yaml", PIPELINE + more)
    pipeline.dvc("repro", "-q")
    pipeline.commit("second")
    restore(recorded)
    now = visible(pipeline)
    assert {k: now[k] for k in first if k != ".gitignore"} == {
        k: v for k, v in first.items() if k != ".gitignore"
    }
    assert pipeline.data_status() == {}


def test_one_path_of_a_pipeline_leaves_the_rest_of_the_lock(pipeline: Project) -> None:
    pipeline.dvc("repro", "-q")
    first, recorded = visible(pipeline), record(pipeline.path)
    pipeline.add("raw.csv", "two ")
    pipeline.dvc("repro", "-q")
    second = visible(pipeline)
    restore(recorded, ["prepared.csv"])
    now = visible(pipeline)
    assert now["prepared.csv"] == first["prepared.csv"]
    assert now["raw.csv"] == second["raw.csv"]
    assert pipeline.data_status() == {}
    state = capture(pipeline.path)
    assert state is not None
    said = {e.path: e.hash for e in state.entries}
    before = {e.path: e for e in _state(recorded)}
    assert said["prepared.csv"] == before["prepared.csv"].hash
    assert said["model.txt"] != before["model.txt"].hash


def test_a_state_whose_metafiles_bytes_are_unknown_is_written_into_today_s(
    pipeline: Project,
) -> None:
    pipeline.dvc("repro", "-q")
    first, recorded = visible(pipeline), record(pipeline.path)
    from mlflow_dvc_plugin.state import manifest
    from mlflow_dvc_plugin.state.tags import read_manifest_parts

    bare = manifest.parse(read_manifest_parts(recorded.tags))._replace(metafiles={})
    tags = {**recorded.tags, "dvc.manifest": manifest.dump(bare)[0], "dvc.git_commit": "0" * 40}
    pipeline.add("raw.csv", "two ")
    pipeline.dvc("repro", "-q")
    restore(Run("0" * 32, "", "0", 0, tags))
    data = ("raw.csv", "prepared.csv", "model.txt", "raw.csv.dvc")
    now = visible(pipeline)
    assert {k: now[k] for k in data} == {k: first[k] for k in data}
    assert pipeline.data_status() == {}


def test_data_that_a_running_stage_uses_is_left_to_it(pipeline: Project) -> None:
    recorded = record(pipeline.path)
    pipeline.add("raw.csv", "two ")
    pipeline.write(
        "dvc.yaml", PIPELINE.replace("cmd: python", "cmd: touch started && sleep 60 #", 1)
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "prepare"], cwd=pipeline.path, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while not (pipeline.path / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(ProjectBusyError, match=rf"raw\.csv is in use by process {process.pid}"):
            restore(recorded)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _state(recorded: Run) -> tuple[Entry, ...]:
    from mlflow_dvc_plugin.restoring.run_data.state import load_state

    return load_state(recorded).entries


@pytest.mark.parametrize("how", [(), ("--temp",)])
def test_a_run_in_an_experiment_comes_back(
    pipeline: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TAGS_IN", str(tmp_path))
    pipeline.write(
        "script.py", SCRIPT.replace('f"{name}.tags"', '__import__("os").environ["TAGS_IN"], name')
    )
    pipeline.write("params.yaml", "p: 1\n")
    pipeline.write(
        "dvc.yaml", PIPELINE.replace("deps: [raw.csv]", "deps: [raw.csv]\n    params: [p]")
    )
    pipeline.dvc("repro", "-q")
    pipeline.commit("first")
    pipeline.add("raw.csv", "two ")
    pipeline.dvc("exp", "run", "-q", *how, "-S", "p=2", "-n", "second")
    tags = json.loads((tmp_path / "train").read_text())
    assert tags["dvc.exp_name"] == "second"
    pipeline.git("checkout", "-q", "-f", "HEAD")
    pipeline.dvc("checkout", "-q")
    assert (pipeline.path / "prepared.csv").read_text() == "one prepare"
    restore(Run("e" * 32, "", "0", 0, tags))
    assert (pipeline.path / "prepared.csv").read_text() == "two prepare"
    assert pipeline.data_status() == {}
