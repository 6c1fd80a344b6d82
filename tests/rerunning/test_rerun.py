"""Runs of real stages, run again."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.rerunning.process import find_code_paths
from tests.history import History, mlflow_dvc
from tests.project import Project, run

slow = pytest.mark.slow

TRAIN = """\
import json, os, mlflow, yaml
rows = [float(line) for line in open("in.csv")]
factor = yaml.safe_load(open("params.yaml"))["factor"]
with mlflow.start_run(run_name="fit"):
    total = factor * sum(rows) {noise}
    mlflow.log_metric("total", total)
    open("out.csv", "w").write(f"total\\n{{total}}\\n")
    json.dump({{"total": total}}, open("metrics.json", "w"))
"""
PIPELINE = """\
stages:
  train:
    cmd: python train.py
    deps: [in.csv, train.py]
    params: [factor]
    outs: [out.csv]
    metrics: [{metrics.json: {cache: false}}]
"""
NOISE = "+ 1e-3 * int.from_bytes(os.urandom(4), 'big') / 2**32"


@dataclass(frozen=True)
class Trained:
    """A project whose stage ran once, on data that has changed since."""

    project: Project
    store: str
    run_id: str
    commit: str

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.store)

    def list_runs(self) -> list[str]:
        """The ids of all other runs."""
        experiments = [e.experiment_id for e in self.client.search_experiments()]
        runs = self.client.search_runs(experiments)
        return [r.info.run_id for r in runs if r.info.run_id != self.run_id]

    def look(self) -> dict[str, object]:
        """All that a rerun must not change: files, Git, and the objects in DVC's cache."""
        path = self.project.path
        files = {
            str(p.relative_to(path)): p.read_bytes()
            for p in sorted(path.rglob("*"))
            if p.is_file() and not {".git", "tmp"} & set(p.relative_to(path).parts)
        }
        git = [self.project.git(*args.split()) for args in ("status --porcelain", "show-ref")]
        return {"files": files, "git": git, "worktrees": self.project.git("worktree", "list")}

    def leftovers(self) -> list[Path]:
        return list((self.project.path / ".dvc/tmp/rerun").glob("*"))


def train(project: Project, store: str, tmp_path: Path, noise: str = "") -> Trained:
    project.remote(tmp_path / "remote")
    project.write("dvc.yaml", PIPELINE)
    project.write("params.yaml", "factor: 2\n")
    project.write("train.py", TRAIN.format(noise=noise))
    project.add("in.csv", "1\n2\n")
    commit = project.commit("Train on two rows")
    # Runs of the default experiment would be found there without being told so.
    experiment = MlflowClient(store).create_experiment("fits")
    project.dvc("repro", MLFLOW_TRACKING_URI=store, MLFLOW_EXPERIMENT_ID=experiment)
    project.commit("results")
    (found,) = MlflowClient(store).search_runs([experiment])
    return Trained(project, store, found.info.run_id, commit)


def move_on(trained: Trained) -> None:
    """Change all that the run was made of."""
    trained.project.push()
    trained.project.write("train.py", "raise SystemExit(1)\n")
    trained.project.write("params.yaml", "factor: 3\n")
    trained.project.add("in.csv", "7\n")
    trained.project.write("dvc.lock", "")


@pytest.fixture
def trained(
    project: Project, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Trained:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    return train(project, store, tmp_path)


@slow
def test_a_deterministic_run_is_reproduced_and_the_project_stays_as_it_is(
    trained: Trained,
) -> None:
    trained.project.dvc("repro", "--force")  # makes another run, which is not to be taken for it
    move_on(trained)
    before, others = trained.look(), trained.list_runs()

    done = mlflow_dvc("rerun", trained.run_id, "--yes", "--json", "--record")

    assert done.code == 0, done.stderr
    assert trained.look() == before
    assert trained.leftovers() == []
    (new,) = set(trained.list_runs()) - set(others)
    old_run, new_run = trained.client.get_run(trained.run_id), trained.client.get_run(new)
    assert new_run.info.experiment_id == old_run.info.experiment_id
    assert new_run.data.tags["dvc.rerun_of"] == trained.run_id
    assert new_run.data.tags["dvc.git_commit"] == trained.commit
    assert new_run.data.tags["dvc.inputs_hash"] == old_run.data.tags["dvc.inputs_hash"]
    assert old_run.data.tags["dvc.reproduced"].startswith("identical, 20")
    assert done.json["run_id"] == trained.run_id
    assert done.json["rerun"] == new
    assert done.json["reproduced"] is True
    assert [i["path"] for i in done.json["inputs"]] == ["in.csv"]
    assert [(m["name"], m["old"], m["new"]) for m in done.json["metrics"]] == [("total", 6.0, 6.0)]


@slow
def test_a_run_with_other_numbers_is_not_reproduced_but_within_a_tolerance(
    project: Project, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    trained = train(project, store, tmp_path, NOISE)
    done = mlflow_dvc("rerun", trained.run_id, "--yes", "--json", "--tolerance", "1e-12")
    assert done.code == 1
    outputs = {o["path"]: o for o in done.json["outputs"]}
    assert {o["verdict"] for o in outputs.values()} == {"different"}
    assert outputs["out.csv"]["differing"] == outputs["metrics.json"]["differing"] == 1
    (metric,) = done.json["metrics"]
    assert metric["largest"] == abs(metric["new"] - metric["old"]) > 0
    assert outputs["out.csv"]["largest"] == pytest.approx(metric["largest"])
    assert "dvc.reproduced" not in trained.client.get_run(trained.run_id).data.tags

    loose = mlflow_dvc("rerun", trained.run_id, "--yes", "--tolerance", "0.01")
    assert loose.code == 0
    assert "was reproduced: within tolerance." in loose.stdout


@slow
def test_a_stage_that_fails_leaves_nothing_but_with_keep_its_worktree(
    trained: Trained, tmp_path: Path
) -> None:
    # The code of the run fails on another machine, say: it reads a file that is no longer there.
    trained.project.write("train.py", "open('/nowhere/at/all')")
    commit = trained.project.commit("broken")
    trained.client.set_tag(trained.run_id, "dvc.git_commit", commit)
    before = trained.look()
    done = mlflow_dvc("rerun", trained.run_id, "--yes")
    assert (done.code, done.stdout) == (2, "")
    assert "Stage train failed" in done.stderr
    assert trained.look() == before
    assert trained.leftovers() == []

    folder = tmp_path / "then"
    kept = mlflow_dvc("rerun", trained.run_id, "--yes", "--keep", "--worktree", str(folder))
    assert kept.code == 2
    assert (folder / "in.csv").read_text() == "1\n2\n"
    again = mlflow_dvc("rerun", trained.run_id, "--yes", "--worktree", str(folder))
    assert again.code == 2
    assert "is not empty" in again.stderr
    assert (folder / "in.csv").exists()


@slow
def test_an_interrupt_ends_the_stage_and_leaves_nothing(trained: Trained, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(300)\n"
    trained.project.write("train.py", script)
    trained.client.set_tag(trained.run_id, "dvc.git_commit", trained.project.commit("endless"))
    before = trained.look()
    command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "rerun", trained.run_id, "--yes"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while not mark.exists() or not mark.read_text():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    assert trained.look() == before
    assert trained.leftovers() == []


@slow
def test_a_stage_of_a_loop_in_a_sub_folder_with_templates(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path / "mono", subdir="ml")
    monkeypatch.chdir(project.path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.write(
        "sub/dvc.yaml",
        "stages:\n  fit:\n    foreach: [a, b]\n    do:\n"
        "      cmd: python ../fit.py ${item} ${factor}\n      deps: [../in.csv]\n"
        "      params: [factor]\n      outs: ['${item}.json']\n",
    )
    project.write("sub/params.yaml", "factor: 4\n")
    project.write(
        "fit.py",
        "import sys, mlflow\n"
        "with mlflow.start_run():\n"
        "    value = int(sys.argv[2]) * int(open('../in.csv').read())\n"
        "    mlflow.log_metric(sys.argv[1], value)\n"
        "    open(f'{sys.argv[1]}.json', 'w').write(str(value))\n",
    )
    project.add("in.csv", "5")
    project.commit()
    project.dvc("repro", "sub/dvc.yaml:fit@b")
    (found,) = MlflowClient(store).search_runs(["0"])
    assert found.data.tags["dvc.stage"] == "sub/dvc.yaml:fit@b"
    done = mlflow_dvc("rerun", found.info.run_id, "--yes", "--json")
    assert done.code == 0, done.stderr
    assert "$ python ../fit.py b 4" in done.stderr
    assert [(m["name"], m["new"]) for m in done.json["metrics"]] == [("b", 20.0)]
    assert [(o["path"], o["verdict"]) for o in done.json["outputs"]] == [
        ("sub/b.json", "identical")
    ]


@slow
def test_a_run_of_an_experiment_runs_with_its_params(trained: Trained) -> None:
    others = trained.list_runs()
    trained.project.dvc("exp", "run", "-n", "five", "-S", "factor=5")
    (run_id,) = set(trained.list_runs()) - set(others)
    trained.project.git("checkout", "-q", "-f", ".")
    done = mlflow_dvc("rerun", run_id, "--yes", "--json")
    assert done.code == 0, done.stderr
    assert [(m["old"], m["new"]) for m in done.json["metrics"]] == [(15.0, 15.0)]

    trained.project.dvc("exp", "remove", "five")
    gone = mlflow_dvc("rerun", run_id, "--yes")
    assert gone.code == 2
    assert "the DVC experiment 'five', which is not in this repository" in gone.stderr


@slow
def test_another_clone_reruns_with_data_from_the_remote(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_on(trained)
    run("git", "clone", "-q", str(trained.project.path), str(tmp_path / "clone"), cwd=tmp_path)
    monkeypatch.chdir(tmp_path / "clone")
    done = mlflow_dvc("rerun", trained.run_id, "--yes", "--json")
    assert done.code == 0, done.stderr
    assert run("git", "status", "--porcelain", cwd=tmp_path / "clone") == ""


@slow
def test_a_tag_cannot_put_code_into_the_worktree(trained: Trained, tmp_path: Path) -> None:
    """The tags are forged with the plugin's own means: they say that an out replaces the code."""
    mark = tmp_path / "mark"
    hostile = f"open({str(mark)!r}, 'w')\n"
    trained.project.add("evil", hostile)
    value = trained.project.path.joinpath("evil.dvc").read_text().split("md5: ")[1].split()[0]
    forge(trained, "yaml.py", value)  # Python would import it instead of the library
    done = mlflow_dvc("rerun", trained.run_id, "--yes")
    assert not mark.exists()
    assert done.code == 0, done
    forge(trained, "train.py", value, is_input=True)
    done = mlflow_dvc("rerun", trained.run_id, "--yes")
    assert done.code == 2
    assert "does not track train.py with DVC" in done.stderr
    assert not mark.exists()


def forge(trained: Trained, path: str, value: str, is_input: bool = False) -> None:
    """Add an out to a run's state, with all tags that belong to it."""
    from mlflow_dvc_plugin.restoring.run_data.state import load_state
    from mlflow_dvc_plugin.state import Entry

    state = load_state(trained.run_id, trained.store, str(trained.project.path))
    kept = [e for e in state.entries if not e.path.endswith(".py") and e.path != "params.yaml"]
    entries = sorted([*kept, Entry(path, "md5", value, input=is_input)])
    for key, text in state._replace(entries=tuple(entries)).to_tags().items():
        trained.client.set_tag(trained.run_id, key, text)


@slow
def test_a_run_outside_a_stage_runs_again_with_the_command_that_is_given(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    code = (
        "import sys, mlflow\n"
        "with mlflow.start_run():\n"
        "    mlflow.log_metric('m', int(sys.argv[-1]) * int(open('in.csv').read()))\n"
    )
    project.write("fit.py", code)
    project.add("in.csv", "3")
    project.commit()
    run(sys.executable, "fit.py", "--times", "2", cwd=project.path)
    (old,) = MlflowClient(store).search_runs(["0"])
    project.write("fit.py", "raise SystemExit(1)")
    project.add("in.csv", "4")
    (project.path / ".venv").symlink_to(sys.prefix)  # it is not among the run's code
    python = ".venv/bin/python"

    def rerun(*command: str) -> tuple[int, str, str]:
        done = mlflow_dvc("rerun", old.info.run_id, "--yes", "--json", "--", *command)
        return done.code, done.stdout, done.stderr

    code_, out, err = rerun(python, "fit.py", "--times", "2")
    assert code_ == 0, err
    assert json.loads(out)["metrics"][0]["new"] == 6.0
    assert [i["verdict"] for i in json.loads(out)["inputs"]] == ["identical"]
    assert rerun(python, "fit.py", "--times", "3")[0] == 1
    assert "The command failed with exit code 5" in rerun(python, "-c", "raise SystemExit(5)")[2]
    assert "ended well, but started no run" in rerun("true")[2]
    assert "no/such cannot run: No such file or directory." in rerun("no/such")[2]
    assert list((project.path / ".dvc/tmp/rerun").glob("*")) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("n\n", 2), ("\n", 2), ("", 130)])
def test_a_person_is_shown_the_commands_and_can_say_no(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    project.add("a", "1")
    commit = project.commit("Hello")
    run_id = history.run()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    done = mlflow_dvc("rerun", run_id, "--", "touch", str(project.path / "mark it"))
    assert (done.code, done.stdout) == (code, "")
    assert f"Run {run_id}, at commit {commit[:12]}: Hello" in done.stderr
    assert f"$ touch '{project.path}/mark it'" in done.stderr
    assert not (project.path / "mark it").exists()
    assert not (project.path / ".dvc/tmp/rerun").exists()


def test_a_person_is_shown_what_would_be_installed_and_can_say_no(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("a", "1")
    project.write("requirements.txt", "mlflow==3.1\n--index-url https://evil.example\n")
    commit = project.commit()
    run_id = history.run()
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    done = mlflow_dvc("rerun", run_id, "--env", "--", "true")
    assert (done.code, done.stdout) == (2, "")
    assert (
        f"in a new environment with 1 package of requirements.txt in commit {commit[:12]}, "
        "with --index-url https://evil.example"
    ) in done.stderr
    assert not (project.path / ".dvc/tmp/rerun").exists()


def test_what_cannot_be_rerun_is_refused_with_the_reason(
    project: Project, history: History
) -> None:
    project.add("a", "1")
    project.commit()
    outside = history.run()
    done = mlflow_dvc("rerun", outside, "--yes")
    assert (done.code, done.stdout) == (2, "")
    assert "was not started in a DVC stage" in done.stderr
    tags = history.tags(outside)
    for extra, reason in (
        ({"mlflow.parentRunId": "f" * 32}, "is a child of run"),
        ({"dvc.stage": "a", "dvc.status": "modified", "dvc.modified": "a"}, "nobody has what"),
        ({"dvc.stage": "--help"}, "does not define stage '--help'"),
        ({"dvc.stage": "a", "dvc.git_commit": "--help"}, "has no Git commit"),
        ({"dvc.stage": "a", "dvc.git_commit": "f" * 40}, "has no commit"),
        ({"dvc.stage": "a", "dvc.exp_name": "a^{/x}"}, "DVC experiment"),
    ):
        done = mlflow_dvc("rerun", history.run(tags={**tags, **extra}), "--yes")
        assert done.code == 2
        assert done.stderr.startswith("Error: ")
        assert reason in done.stderr


def test_nothing_runs_where_nobody_can_be_asked(project: Project, history: History) -> None:
    project.add("a", "1")
    project.commit()
    for options in ([], ["--json"]):
        done = mlflow_dvc("rerun", history.run(), *options)
        assert (done.code, done.stdout) == (2, "")
        assert "needs --yes" in done.stderr


@pytest.mark.parametrize("text", ["", "x", "a=", "-1", "a=nan", "a=-1"])
def test_a_tolerance_is_a_number(project: Project, history: History, text: str) -> None:
    project.add("a", "1")
    done = mlflow_dvc("rerun", history.run(), "--yes", "--tolerance", text)
    assert (done.code, done.stdout) == (2, "")


def test_code_that_is_installed_in_place_is_imported_from_the_worktree(tmp_path: Path) -> None:
    for folder in ("old/src", "old/.venv/lib", "new/src", "other"):
        (tmp_path / folder).mkdir(parents=True)
    entries = [str(tmp_path / "old/src"), str(tmp_path / "old/.venv/lib"), str(tmp_path / "other")]
    environ = {"PYTHONPATH": os.pathsep.join([*entries, "relative"])}
    found = find_code_paths(environ, str(tmp_path / "old"), str(tmp_path / "new"))
    assert found == [str(tmp_path / "new/src")]


def test_only_the_start_of_a_run_names_the_run_that_it_repeats(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    project.add("a", "1")
    monkeypatch.setenv("MLFLOW_DVC_RERUN_OF", "1" * 32)
    mlflow.set_tracking_uri(store)
    with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        pass
    client = MlflowClient(store)
    assert client.get_run(parent.info.run_id).data.tags["dvc.rerun_of"] == "1" * 32
    assert "dvc.rerun_of" not in client.get_run(child.info.run_id).data.tags
