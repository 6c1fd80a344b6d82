"""A rerun runs what the run recorded: its command, and code that was not committed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.state.program import Program
from tests.history import History, mlflow_dvc
from tests.project import Project, run

slow = pytest.mark.slow

FIT = """\
import sys, mlflow
from lib.times import factor
with mlflow.start_run():
    mlflow.log_metric("m", factor * int(sys.argv[1]) * int(open("../in.csv").read()))
"""
NEW_FILE = """\
diff --git a/{path} b/{path}
new file mode 100644
--- /dev/null
+++ b/{path}
@@ -0,0 +1 @@
+x
"""


@slow
def test_the_recorded_command_runs_on_the_code_that_was_not_committed(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.write("src/fit.py", FIT)
    project.write("src/lib/times.py", "factor = 2\n")
    project.add("in.csv", "3")
    project.commit()
    project.write("src/lib/times.py", "from lib.new import factor\n")
    project.write("src/lib/new.py", "factor = 5\n")
    run(sys.executable, str(project.path / "src/fit.py"), "7", cwd=project.path / "src")
    (old,) = MlflowClient(store).search_runs(["0"])
    project.git("stash", "-q", "-u")
    project.add("in.csv", "4")

    done = mlflow_dvc("rerun", old.info.run_id, "--yes", "--json")

    assert done.code == 0, done.stderr
    assert [(m["old"], m["new"]) for m in done.json["metrics"]] == [(105.0, 105.0)]
    assert "$ python fit.py 7\n  in src\n" in done.stderr
    assert "with code that was not committed:" in done.stderr
    assert "+factor = 5" in done.stderr
    new = MlflowClient(store).get_run(done.json["rerun"]).data.tags
    assert new["dvc.rerun_of"] == old.info.run_id
    assert new["dvc.code_status"] == "saved"
    given = mlflow_dvc("rerun", old.info.run_id, "--yes", "--", "python", "src/fit.py", "7")
    assert given.code == 2, given  # it runs in the project's folder, where ../in.csv is not


@slow
def test_a_stage_runs_with_params_that_were_not_committed(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.write(
        "dvc.yaml",
        "stages:\n  fit:\n    cmd: python fit.py ${n}\n    deps: [in.csv]\n    outs: [o]\n",
    )
    project.write("params.yaml", "n: 1\n")
    project.write(
        "fit.py",
        "import sys, mlflow\nwith mlflow.start_run():\n"
        "    mlflow.log_metric('n', int(sys.argv[1]))\n    open('o', 'w').write(sys.argv[1])\n",
    )
    project.add("in.csv", "3")
    project.commit()
    project.write("params.yaml", "n: 2\n")
    project.write("dvc.yaml", (project.path / "dvc.yaml").read_text() + "# not committed\n")
    project.dvc("repro")
    (old,) = MlflowClient(store).search_runs(["0"])
    project.git("checkout", "-q", "-f", ".")

    done = mlflow_dvc("rerun", old.info.run_id, "--yes", "--json")

    assert done.code == 0, done.stderr
    assert "$ python fit.py 2" in done.stderr
    assert "dvc.yaml had changes that were not committed" in done.stderr
    assert [(m["old"], m["new"]) for m in done.json["metrics"]] == [(2.0, 2.0)]


@slow
def test_a_large_difference_is_taken_from_the_artifacts(
    project: Project, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.write("fit.py", "x = 1\n")
    project.add("in.csv", "3")
    project.commit()
    lines = "".join(f"# {number**9:x}\n" for number in range(2000))
    body = "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('m', 1)\n"
    project.write("fit.py", lines + body)
    run(sys.executable, "fit.py", cwd=project.path, MLFLOW_DVC_AUTOLOG="artifacts")
    (old,) = MlflowClient(store).search_runs(["0"])
    project.git("checkout", "-q", "-f", ".")
    done = mlflow_dvc("rerun", old.info.run_id, "--yes", "--json")
    assert done.code == 0, done.stderr
    (file,) = Path(old.info.artifact_uri.removeprefix("file://")).rglob("code.diff")
    file.unlink()
    missing = mlflow_dvc("rerun", old.info.run_id, "--yes")
    assert missing.code == 2
    assert "dvc/code.diff" in missing.stderr


def forge(history: History, project: Project, program: Program, **tags: str) -> str:
    """A run whose tags say that it ran this program on the project's commit."""
    state = DataState(
        root=".",
        entries=(Entry("data/in.csv", "md5", "0" * 32, metafile="data/in.csv.dvc"),),
        git_commit=project.git("rev-parse", "HEAD").strip(),
        status="clean",
        program=program,
    )
    return history.run(tags={**state.to_tags(), **tags})


@pytest.mark.parametrize(
    "path",
    [
        *(".dvc/config", "dvc.yaml", "sub/dvc.lock", "x.dvc", ".git/hooks/a", "sub/.GIT/config"),
        *("data/in.csv", "data/in.csv/x", ".gitattributes", "../outside"),
    ],
)
def test_a_difference_changes_code_and_nothing_else(
    project: Project, history: History, path: str
) -> None:
    project.add("data/in.csv", "1")
    project.commit()
    diff = NEW_FILE.format(path=path).encode()
    run_id = forge(history, project, Program(("true",), code="modified", diff=diff))
    done = mlflow_dvc("rerun", run_id, "--yes")
    assert (done.code, done.stdout) == (2, "")
    assert "is not code" in done.stderr or "cannot be read" in done.stderr, done.stderr
    assert not (project.path / ".dvc/tmp/rerun").exists()


@pytest.mark.parametrize("verb", ["rename", "copy"])
@pytest.mark.parametrize("old", ["data/in.csv", "dvc.yaml"])
def test_a_difference_moves_nothing_into_the_code(
    project: Project, history: History, verb: str, old: str
) -> None:
    """Git names only the new path, and its content would not be shown."""
    project.add("data/in.csv", "1")
    project.commit()
    diff = (
        f"diff --git a/{old} b/sitecustomize.py\nsimilarity index 100%\n"
        f"{verb} from {old}\n{verb} to sitecustomize.py\n"
    )
    run_id = forge(history, project, Program(("true",), code="modified", diff=diff.encode()))
    done = mlflow_dvc("rerun", run_id, "--yes")
    assert (done.code, done.stdout) == (2, "")
    assert "renames or copies files" in done.stderr


@slow
def test_a_difference_does_not_follow_a_link_out_of_the_worktree(
    project: Project, history: History, tmp_path: Path
) -> None:
    project.add("a", "1")
    (project.path / "link").symlink_to(tmp_path)
    value = (project.path / "a.dvc").read_text().split("md5: ")[1].split()[0]
    project.commit()
    state = DataState(
        root=".",
        entries=(Entry("a", "md5", value, 1, metafile="a.dvc"),),
        git_commit=project.git("rev-parse", "HEAD").strip(),
        program=Program(
            ("true",), code="modified", diff=NEW_FILE.format(path="link/evil.py").encode()
        ),
    )
    done = mlflow_dvc("rerun", history.run(tags=state.to_tags()), "--yes")
    assert done.code == 2
    assert "does not fit its commit" in done.stderr
    assert not (tmp_path / "evil.py").exists()


@pytest.mark.parametrize(
    ("program", "tags", "reason"),
    [
        (Program(), {}, "its command is not recorded. Give it: mlflow-dvc rerun"),
        (Program(("python", "a.py", "--token", "***")), {}, "had a secret in it"),
        (Program(("true",), "../.."), {}, "working directory outside the repository"),
        (Program(("true",), code="modified"), {}, "nobody has it"),
        (Program(("true",)), {"dvc.code_status": "saved"}, "dvc/code.diff"),
        (Program(("true",), code="modified", diff=b"x\n"), {}, "cannot be read"),
    ],
)
def test_what_is_not_recorded_cannot_be_rerun(
    project: Project, history: History, program: Program, tags: dict[str, str], reason: str
) -> None:
    project.add("data/in.csv", "1")
    project.commit()
    done = mlflow_dvc("rerun", forge(history, project, program, **tags), "--yes")
    assert (done.code, done.stdout) == (2, "")
    assert reason in done.stderr


def test_the_interpreter_is_that_of_the_active_environment(tmp_path: Path) -> None:
    from mlflow_dvc_plugin.rerunning.process import find_interpreter

    assert find_interpreter({}) == sys.executable
    assert find_interpreter({"VIRTUAL_ENV": str(tmp_path)}) == sys.executable
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    found = find_interpreter({"VIRTUAL_ENV": str(tmp_path)})
    assert found == str(tmp_path / "bin/python")
    subprocess.run([found, "-c", ""], check=True)
