"""Inside a stage that DVC runs: what the job really read, against what capture says."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project, run

JOB = """
import hashlib, json, os, sys
from mlflow_dvc_plugin.capture import capture

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
