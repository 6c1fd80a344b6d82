"""Proofs: real training, run again, and what is said where it comes out different."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import copy_store
from tests.history import Done, mlflow_dvc
from tests.project import Project, run

pytestmark = pytest.mark.slow
# One worker builds the project that these share.
shares_zoo = pytest.mark.xdist_group("zoo")

NETS = importlib.util.find_spec("torch") is not None
PIPELINE = """\
stages:
  prepare:
    cmd: python prepare.py
    deps: [raw.csv, prepare.py]
    outs: [data.csv, ticket.txt]
  forest:
    foreach: {seeded: 0, unseeded: None}
    do:
      cmd: python forest.py ${key} ${item}
      deps: [data.csv, ticket.txt, forest.py]
      outs: ['forest/${key}.csv']
  several:
    cmd: python several.py
    deps: [data.csv]
"""
PREPARE = """\
import os, uuid
rows = [line.split(",") for line in open("raw.csv")]
open("data.csv", "w").writelines(f"{float(a) / 2},{b}" for a, b in rows)
open("ticket.txt", "w").write(str(uuid.uuid4()))
if "PREPARED" in os.environ:
    open(os.environ["PREPARED"], "a").write("prepared")
"""
FOREST = """\
import os, sys, mlflow, numpy
from sklearn.ensemble import RandomForestClassifier
data = numpy.loadtxt("data.csv", delimiter=",")
name, seed = sys.argv[1], eval(sys.argv[2])
with mlflow.start_run(run_name=name):
    mlflow.log_param("random_state", seed)
    model = RandomForestClassifier(5, random_state=seed).fit(data[:, :1], data[:, 1])
    found = model.predict_proba(data[:, :1])[:, 1]
    mlflow.log_metric("mean", found.mean())
    os.makedirs("forest", exist_ok=True)
    numpy.savetxt(f"forest/{name}.csv", found)
"""
SEVERAL = """\
import mlflow
for name in ("one", "two", "three"):
    with mlflow.start_run(run_name=name):
        mlflow.log_metric("letters", len(name))
"""
NET_STAGES = """\
  net:
    foreach: {seeded: 7, unseeded: None}
    do:
      cmd: python net.py ${key} ${item}
      deps: [data.csv, net.py]
      outs: ['net/${key}.pt']
"""
NET = """\
import os, sys, mlflow, numpy, torch
data = torch.tensor(numpy.loadtxt("data.csv", delimiter=","), dtype=torch.float32)
name, seed = sys.argv[1], eval(sys.argv[2])
if seed is not None:
    torch.manual_seed(seed)
with mlflow.start_run(run_name=f"net-{name}"):
    if seed is not None:
        mlflow.log_param("seed", seed)
    net = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for step in range(50):
        optimizer.zero_grad()
        predicted = net(data[:, :1]).squeeze()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(predicted, data[:, 1])
        loss.backward()
        optimizer.step()
    mlflow.log_metric("loss", float(loss))
    os.makedirs("net", exist_ok=True)
    torch.save(net.state_dict(), f"net/{name}.pt")
"""


@dataclass(frozen=True)
class Zoo:
    """A project with stages that can be repeated, and some that cannot.

    Attributes:
        runs: the ids, by name.
    """

    project: Project
    store: str
    runs: dict[str, str]

    def rerun(self, name: str, *options: str) -> Done:
        return mlflow_dvc("rerun", self.runs[name], "--yes", "--json", *options)


_built: list[Zoo] = []


@pytest.fixture
def zoo(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Zoo:
    """The project, made once: tests only rerun its runs."""
    if not _built:
        folder = tmp_path_factory.mktemp("zoo")
        _built.append(
            build_zoo(Project.create(folder / "project"), copy_store(empty_store, folder))
        )
    made = _built[0]
    monkeypatch.chdir(made.project.path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.store)
    return made


def build_zoo(project: Project, store: str) -> Zoo:
    project.write("dvc.yaml", PIPELINE + NET_STAGES * NETS)
    for name, code in (
        ("prepare.py", PREPARE),
        ("forest.py", FOREST),
        ("several.py", SEVERAL),
        ("net.py", NET),
    ):
        project.write(name, code)
    project.add("raw.csv", "".join(f"{n * 37 % 101},{n * 53 % 97 % 2}\n" for n in range(60)))
    project.write("requirements.txt", "numpy==0.0.1\npyyaml\n")
    project.commit()
    project.dvc("repro", MLFLOW_TRACKING_URI=store)
    project.commit("results")
    found = MlflowClient(store).search_runs(["0"])
    return Zoo(project, store, {each.info.run_name: each.info.run_id for each in found})


def verdicts(items: list[dict[str, Any]], key: str = "path") -> dict[str, str]:
    return {each[key]: each["verdict"] for each in items}


@shares_zoo
def test_a_seeded_forest_is_identical(zoo: Zoo) -> None:
    done = zoo.rerun("seeded")
    assert done.code == 0, done.stderr
    assert done.json["verdict"] == "identical"
    assert verdicts(done.json["outputs"]) == {"forest/seeded.csv": "identical"}
    assert verdicts(done.json["metrics"], "name") == {"mean": "identical"}
    assert verdicts(done.json["inputs"]) == {"data.csv": "identical", "ticket.txt": "identical"}
    # Another version of a package is a fact, but explains nothing here.
    assert [(each["name"], each["old"]) for each in done.json["packages"]] == [("numpy", "0.0.1")]
    assert done.json["environment"].startswith("requirements.txt in commit ")
    assert done.json["reasons"] == []


@shares_zoo
def test_a_forest_without_a_seed_is_different_and_the_reasons_are_shown(zoo: Zoo) -> None:
    done = mlflow_dvc("rerun", zoo.runs["unseeded"], "--yes")
    assert done.code == 1, done.stderr
    assert "was not reproduced: different." in done.stdout
    _, _, reasons = done.stdout.partition("What may have made the difference:\n")
    assert [line.split(" (")[0] for line in reasons.splitlines()] == [
        "- The versions of packages differ: numpy",
        "- The param random_state is not set.",
        "- The hardware is not recorded.",
    ]
    table = done.stdout.splitlines()
    assert any(line.split()[:2] == ["numpy", "0.0.1"] for line in table)


@shares_zoo
@pytest.mark.skipif(not NETS, reason="torch is not installed")
def test_a_net_with_a_seed_is_identical_and_one_without_is_not(zoo: Zoo) -> None:
    seeded = zoo.rerun("net-seeded")
    assert seeded.code == 0, seeded.stderr
    assert verdicts(seeded.json["metrics"], "name") == {"loss": "identical"}
    assert verdicts(seeded.json["outputs"]) == {"net/seeded.pt": "identical"}
    unseeded = zoo.rerun("net-unseeded")
    assert unseeded.code == 1, unseeded.stderr
    assert verdicts(unseeded.json["metrics"], "name") == {"loss": "different"}
    assert "No seed is recorded." in unseeded.json["reasons"]


@shares_zoo
def test_upstream_stages_run_again_and_what_they_make_is_compared(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREPARED", str(tmp_path / "prepared"))
    done = zoo.rerun("seeded", "--with-upstream")
    assert done.code == 1, done.stderr
    assert (tmp_path / "prepared").read_text() == "prepared"
    commands = [line for line in done.stderr.splitlines() if line.startswith("  $ ")]
    assert commands[:2] == ["  $ python prepare.py", "  $ python forest.py seeded 0"]
    assert verdicts(done.json["upstream"]) == {"data.csv": "identical", "ticket.txt": "different"}
    assert done.json["inputs"] == []
    assert verdicts(done.json["outputs"]) == {"forest/seeded.csv": "identical"}
    assert done.json["reasons"][0] == "The data differs: ticket.txt."
    assert MlflowClient(zoo.store).get_run(done.json["rerun"]).data.tags["dvc.stage"] == (
        "forest@seeded"
    )


@shares_zoo
def test_of_several_runs_of_a_stage_the_one_with_the_same_name_is_compared(zoo: Zoo) -> None:
    done = zoo.rerun("three")
    assert done.code == 0, done.stderr
    assert [(each["old"], each["new"]) for each in done.json["metrics"]] == [(5.0, 5.0)]
    assert MlflowClient(zoo.store).get_run(done.json["rerun"]).info.run_name == "three"


FIT = """\
import mlflow
with mlflow.start_run():
    mlflow.log_metric("rows", len(open("in.csv").readlines()))
"""


def test_data_that_was_modified_and_saved_is_what_the_rerun_reads(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.write("fit.py", FIT)
    project.add("in.csv", "1\n")
    project.commit()
    project.write("in.csv", "1\n2\n3\n")  # and no `dvc add`
    run(sys.executable, "fit.py", cwd=project.path, MLFLOW_DVC_SAVE="1")
    project.write("in.csv", "4\n")
    (old,) = MlflowClient(store).search_runs(["0"])
    assert old.data.tags["dvc.status"] == "saved"
    done = mlflow_dvc("rerun", old.info.run_id, "--yes", "--json", "--", sys.executable, "fit.py")
    assert done.code == 0, done.stderr
    assert verdicts(done.json["inputs"]) == {"in.csv": "identical"}
    assert [(each["old"], each["new"]) for each in done.json["metrics"]] == [(3.0, 3.0)]
    assert (done.json["packages"], done.json["environment"]) == ([], None)
    assert (project.path / "in.csv").read_text() == "4\n"


def test_a_deleted_branch_can_be_rerun_until_git_has_lost_its_commit(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.commit()
    project.git("checkout", "-q", "-b", "idea")
    project.write("fit.py", FIT)
    project.add("in.csv", "1\n2\n")
    commit = project.commit()
    run(sys.executable, "fit.py", cwd=project.path)
    project.git("checkout", "-q", "main")
    project.git("branch", "-q", "-D", "idea")
    (old,) = MlflowClient(store).search_runs(["0"])
    command = ("rerun", old.info.run_id, "--yes", "--json", "--", sys.executable, "fit.py")
    done = mlflow_dvc(*command)
    assert done.code == 0, done.stderr
    assert verdicts(done.json["metrics"], "name") == {"rows": "identical"}

    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    lost = mlflow_dvc(*command)
    assert (lost.code, lost.stdout) == (2, "")
    (line,) = lost.stderr.splitlines()
    assert line.startswith(f"Error: This Git repository has no commit {commit}, whose code run")
    out = str(project.path.parent / "then")
    restored = mlflow_dvc(*line.rpartition("mlflow-dvc ")[2].replace("DIR", out).split())
    assert restored.code == 0, restored.stderr
    assert Path(out, "in.csv").read_text() == "1\n2\n"
