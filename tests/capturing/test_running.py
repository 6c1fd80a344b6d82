"""Inside a stage that DVC runs: what the job really read, against what capture says."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.capturing import capture
from tests.capturing.oracle import UNJUDGED
from tests.project import Project, run

pytestmark = pytest.mark.slow

JOB = """
import hashlib, json, os, sys
from mlflow_dvc_plugin.capturing import capture


name, out, *deps = sys.argv[1:]
read = {}
for dep in deps:
    files = [dep]
    if os.path.isdir(dep):
        files = [os.path.join(d, f) for d, _, fs in os.walk(dep) for f in fs if f != ".gitignore"]
    for file in files:
        with open(file, "rb") as stream:
            read[os.path.realpath(file)] = hashlib.md5(stream.read()).hexdigest()
state = capture()
with open(os.environ["REPORT"], "a") as stream:
    stream.write(json.dumps({
        "name": name,
        "read": read,
        "project": os.path.realpath(state.project),
        "stage": state.stage,
        "inputs": {e.path: e.hash for e in state.entries if e.input},
        "entries": {e.path: e.hash for e in state.entries},
        "inputs_hash": state.inputs_hash,
        "status": state.status,
        "modified": state.modified,
        "exp": [state.exp_name, state.exp_baseline],
    }) + "\\n")
os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
with open(out, "w") as stream:
    stream.write(name + json.dumps(sorted(read.values())))
"""

PIPELINE = """
stages:
  prepare:
    cmd: {py} job.py prepare prepared/a.csv raw.csv && {py} job.py prepare prepared/b.csv raw.csv
    deps: [raw.csv, job.py]
    outs: [prepared/a.csv, prepared/b.csv]
  train:
    foreach: [v1, v2]
    do:
      cmd: {py} job.py train-${{item}} model-${{item}} prepared images/one.txt
      params: [lr]
      deps: [prepared, images/one.txt]
      outs: ['model-${{item}}']
  grid:
    matrix:
      kind: [small, big]
    wdir: work
    cmd: {py} ../job.py grid grid-${{item.kind}} ../model-v1 ../images
    deps: [../model-v1, ../images]
    outs: ['grid-${{item.kind}}']
"""

SUB = """
stages:
  train:
    cmd: {py} ../job.py sub-train out ../model-v2
    deps: [../model-v2]
    outs: [out]
"""


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "report.jsonl"
    monkeypatch.setenv("REPORT", str(path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return path


@pytest.fixture
def pipeline(project: Project) -> Project:
    project.write("job.py", JOB)
    project.write("params.yaml", "lr: 1\n")
    project.write("dvc.yaml", PIPELINE.format(py=sys.executable))
    project.write("sub/dvc.yaml", SUB.format(py=sys.executable))
    (project.path / "work").mkdir()
    project.write("work/.keep", "")
    project.write("images/one.txt", "1")
    project.write("images/two.txt", "2")
    project.write("raw.csv", "first")
    project.dvc("add", "-q", "images", "raw.csv")
    project.commit()
    return project


def reports(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.unlink()
    return lines


def assert_true(said: dict[str, Any]) -> None:
    """Every file that the job read has, in capture's words, the content that it had."""
    for path, digest in said["read"].items():
        relative = os.path.relpath(path, said["project"])
        owner = next(p for p in said["inputs"] if relative == p or relative.startswith(f"{p}/"))
        if not said["inputs"][owner].endswith(".dir"):
            assert said["inputs"][owner] == digest, (said["name"], relative)


@pytest.mark.versions
def test_inputs_are_what_the_job_read(pipeline: Project, report: Path) -> None:
    pipeline.dvc("repro", "-q", "-P")
    first = {said["stage"]: said for said in reports(report)}
    assert set(first) == {
        "prepare",
        "train@v1",
        "train@v2",
        "grid@small",
        "grid@big",
        "sub/dvc.yaml:train",
    }
    for said in first.values():
        assert_true(said)
        assert said["status"] == "clean"
    assert set(first["prepare"]["entries"]) == {"images", "raw.csv"}
    assert set(first["train@v1"]["inputs"]) == {"images", "prepared/a.csv", "prepared/b.csv"}
    assert set(first["grid@big"]["inputs"]) == {"images", "model-v1"}
    assert "work/grid-big" not in first["grid@big"]["entries"]

    # Upstream changed: dvc.lock has this stage's deps of the run before.
    pipeline.write("raw.csv", "second")
    pipeline.dvc("add", "-q", "raw.csv")
    pipeline.dvc("repro", "-q", "-P")
    second = {said["stage"]: said for said in reports(report)}
    assert set(second) == set(first)
    for stage, said in second.items():
        assert_true(said)
        assert said["inputs_hash"] != first[stage]["inputs_hash"]
    # What another stage made is part of the state, what follows from this one is not.
    assert {"model-v2", "sub/out"} <= set(second["train@v1"]["entries"])
    assert not {"model-v1", "work/grid-small"} & set(second["train@v1"]["entries"])

    # One stage alone, forced, from its own folder: the address is relative to that.
    dvc = [sys.executable, "-m", "dvc"]
    run(*dvc, "repro", "-q", "-s", "-f", "dvc.yaml:train", cwd=pipeline.path / "sub")
    (said,) = reports(report)
    assert said["stage"] == "sub/dvc.yaml:train"
    assert_true(said)


def test_experiments(pipeline: Project, report: Path) -> None:
    pipeline.dvc("repro", "-q", "-P")
    baseline = pipeline.commit()
    before = {said["stage"]: said for said in reports(report)}
    for rate, options in enumerate((["--temp", "-n", "named"], ["-n", "inplace"]), 7):
        pipeline.dvc("exp", "run", "-q", *options, "-S", f"lr={rate}", "train@v1")
        (said,) = reports(report)
        assert said["stage"] == "train@v1"
        assert said["exp"] == [options[-1], baseline]
        assert_true(said)
        assert said["inputs_hash"] == before["train@v1"]["inputs_hash"]
        in_copy = str(pipeline.path / ".dvc" / "tmp" / "exps") in said["project"]
        assert in_copy == ("--temp" in options)
        pipeline.git("checkout", "-q", ".")


def said_in(project: Project, address: str, monkeypatch: pytest.MonkeyPatch, root: Path) -> Any:
    monkeypatch.setenv("DVC_STAGE", address)
    monkeypatch.setenv("DVC_ROOT", str(root))
    return capture(project.path, UNJUDGED)


@pytest.fixture
def two_trains(project: Project) -> Project:
    """A stage of the same name in two folders."""
    for base in ("", "sub/"):
        project.write(f"{base}dvc.yaml", "stages:\n  train: {cmd: x, deps: [in], outs: [out]}\n")
        project.write(f"{base}in.dvc", "outs:\n- {path: in, md5: abcd, hash: md5}\n")
    project.write("only/dvc.yaml", "stages:\n  only: {cmd: x}\n")
    return project


def lock(project: Project, *paths: str) -> None:
    """As DVC does while a stage runs."""
    write = {str(project.path / path): {"pid": os.getpid(), "cmd": "dvc repro"} for path in paths}
    project.write(".dvc/tmp/rwlock", json.dumps({"write": write, "read": {}}))


def test_address_is_relative_to_where_dvc_was_started(
    two_trains: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = two_trains.path
    for address, expected in {
        "train": "train",
        "sub/dvc.yaml:train": "sub/dvc.yaml:train",
        "only": "only/dvc.yaml:only",
        "../only/dvc.yaml:only": "only/dvc.yaml:only",
        "../../sub/dvc.yaml:train": "sub/dvc.yaml:train",
    }.items():
        state = said_in(two_trains, address, monkeypatch, here)
        assert state.stage == expected
    # Started in `sub`, where `train` is sub's: what DVC locked says so.
    lock(two_trains, "sub/out")
    state = said_in(two_trains, "train", monkeypatch, here)
    assert state.stage == "sub/dvc.yaml:train"
    assert [entry.path for entry in state.entries if entry.input] == ["sub/in"]


def test_stage_of_another_project(
    two_trains: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    (other / ".dvc").mkdir(parents=True)
    # A job of the other project's `train` goes on to work here.
    state = said_in(two_trains, "train", monkeypatch, other)
    assert state.stage is None
    assert state.inputs_hash is None
    assert {"out", "in"} <= {entry.path for entry in state.entries}
    # DVC started here by a stage of the other project leaves DVC_ROOT as it was.
    lock(two_trains, "out")
    assert said_in(two_trains, "train", monkeypatch, other).stage == "train"
    # In a container, the folder of the host is not there.
    (two_trains.path / ".dvc" / "tmp" / "rwlock").unlink()
    assert said_in(two_trains, "train", monkeypatch, tmp_path / "host").stage == "train"


def test_stage_that_is_not_defined(two_trains: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    state = said_in(two_trains, "other", monkeypatch, two_trains.path)
    assert state.stage is None
    assert len(state.entries) == 4


def test_inputs_inside_and_above_outs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(
        "dvc.yaml",
        """
stages:
  train:
    cmd: x
    params: [lr]
    deps: [raw/part/x.csv, many, 's3://bucket/x', code.py]
    outs: [model]
  after: {cmd: x, deps: [model/inner], outs: [report]}
  later: {cmd: x, deps: [.], outs: [site/all]}
  beside: {cmd: x, deps: [many/a], outs: [many/c]}
""",
    )
    for path in ("raw", "many/a", "many/b/d", "manyfold", "site/x"):
        name = os.path.basename(path)
        project.write(f"{path}.dvc", f"outs:\n- {{path: {name}, md5: abcd, hash: md5}}\n")
    state = said_in(project, "train", monkeypatch, project.path)
    assert {entry.path: entry.input for entry in state.entries} == {
        "raw": True,
        "many/a": True,
        "many/b/d": True,
        "many/c": True,
        "manyfold": False,
        "site/x": False,
    }
