"""Which run made this model: tied after the fact, and only where it is sure."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import replace

import pytest

from mlflow_dvc_plugin.lineage.derivation.link import select_run
from mlflow_dvc_plugin.tracking import Run
from tests.history import History, mlflow_dvc
from tests.project import Project

TRAIN = """\
import mlflow

with mlflow.start_run():
    with open("data/part/a.csv") as data, open("model.pkl", "w") as model:
        model.write("model of " + data.read())
"""


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.mark.slow
def test_after_repro_the_run_that_made_a_model_is_found(project: Project, history: History) -> None:
    project.write("train.py", TRAIN)
    project.write("dvc.yaml", "stages:\n  train:\n    cmd: python train.py\n"
                  "    deps: [train.py, data]\n    outs: [model.pkl]\n")  # fmt: skip
    made = {}
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    for version in ("1", "2"):
        project.write("data/part/a.csv", version)
        project.write("data/b.csv", "b")
        project.add("data/part")
        project.add("data/b.csv")
        project.dvc(
            "repro",
            "-q",
            PATH=path,
        )
        (newest, *_) = history.client.search_runs(["0"], order_by=["start_time DESC"])
        made[version] = newest.info.run_id
        linked = [{"run_id": made[version], "stage": "train",
                   "outs": {"model.pkl": md5(f"model of {version}")}}]  # fmt: skip
        done = mlflow_dvc("link", "--dry-run", "--json")
        assert (done.json, done.stderr) == (linked, "")
        assert "dvc.out.model.pkl" not in history.tags(made[version])
        assert mlflow_dvc("link", "--json").json == linked
        tags = history.tags(made[version])
        assert tags["dvc.out.model.pkl"] == tags["dvc.out_hashes"] == md5(f"model of {version}")
    assert len(set(made.values())) == 2
    for version, run_id in made.items():
        value = md5(f"model of {version}")
        for ask in (["--path", "model.pkl", "--hash", value], ["--hash", value]):
            (found,) = mlflow_dvc("find", *ask, "--json").json
            assert (found["run_id"], found["roles"]) == (run_id, {"model.pkl": "output"})
    assert "output" in mlflow_dvc("find", "--path", "model.pkl").stdout
    assert [v["hash"] for v in mlflow_dvc("log", "model.pkl", "--json").json] == [
        md5("model of 1"),
        md5("model of 2"),
    ]


@pytest.fixture
def reproduced(project: Project, history: History) -> str:
    """A pipeline that has run, and a run as its stage would have started it."""
    project.write("dvc.yaml", "stages:\n  train:\n    cmd: cp raw m\n    deps: [raw]\n"
                  "    outs: [m]\n")  # fmt: skip
    project.add("raw", "raw")
    started = int(project.write("started", "").stat().st_mtime * 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_STAGE", "train")
        run_id = history.run(status=None, start=started)
    project.dvc("repro", "-q")
    history.client.set_terminated(run_id)
    return run_id


@pytest.mark.usefixtures("reproduced")
def test_log_says_that_a_run_in_a_stage_used_its_deps_alone(project: Project) -> None:
    project.add("other", "no dep")
    done = mlflow_dvc("log", "other")
    assert "No run used or made it." in done.stdout
    assert "A run in a DVC stage used the stage's deps alone: other" in done.stdout


def test_a_stage_whose_inputs_changed_since_is_left(
    reproduced: str, project: Project, history: History
) -> None:
    assert [run["run_id"] for run in mlflow_dvc("link", "--dry-run", "--json").json] == [reproduced]
    project.add("raw", "changed")
    done = mlflow_dvc("link", "--json")
    assert done.json == []
    assert "run `dvc repro` first" in done.stderr
    assert not [key for key in history.tags(reproduced) if key.startswith("dvc.out.")]


def test_a_run_that_failed_made_nothing(reproduced: str, history: History) -> None:
    history.client.set_terminated(reproduced, "FAILED")
    done = mlflow_dvc("link", "--json")
    assert done.json == []
    assert "no finished run" in done.stderr


def run(start: int, end: int | None, **tags: str) -> Run:
    return Run(f"r{start}", "", "0", start, tags, status="FINISHED", end_time=end)


OUTS = {"dvc.out.m": "1"}
HOUR = 3_600_000


def test_the_newest_run_at_work_when_the_outs_were_written_made_them() -> None:
    runs = [run(0, 10), run(20, 30), run(40, 50)]
    assert select_run(runs, OUTS, written=25) == runs[1]
    assert select_run(runs, OUTS, written=45) == select_run(runs, OUTS, written=55) == runs[2]


def test_a_checkout_of_older_outs_does_not_make_them_the_newest_runs() -> None:
    runs = [run(0, 10), run(20 * HOUR, 21 * HOUR)]
    assert select_run(runs, OUTS, written=8) == runs[0]


def test_outs_that_were_fetched_later_tell_nothing_unless_there_is_one_run() -> None:
    runs = [run(0, 10), run(20, 30)]
    assert isinstance(select_run(runs, OUTS, written=HOUR), str)
    assert select_run(runs[:1], OUTS, written=HOUR) == runs[0]


def test_a_run_makes_an_out_once() -> None:
    made = run(0, 10, **{"dvc.out.m": "2"})
    assert "already linked to other outputs" in str(select_run([made], OUTS, written=5))
    assert select_run([replace(made, tags=OUTS)], OUTS, written=5) == replace(made, tags=OUTS)


def test_child_runs_and_unfinished_ones_are_no_candidates() -> None:
    child = run(0, 10, **{"mlflow.parentRunId": "p"})
    running = replace(run(0, None), status="RUNNING")
    assert isinstance(select_run([child, running], OUTS, written=5), str)
