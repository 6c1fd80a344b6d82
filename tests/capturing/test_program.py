"""What a run ran is in its manifest: the command, and code that was not committed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.capturing.program import code
from mlflow_dvc_plugin.capturing.program.command import may_have_secret
from mlflow_dvc_plugin.capturing.program.secrets import has_secret, mask_secrets
from mlflow_dvc_plugin.capturing.run_start import capture_run_start
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState, Entry, manifest
from mlflow_dvc_plugin.state.program import Program
from mlflow_dvc_plugin.state.tags import read_manifest_parts
from tests.history import mlflow_dvc
from tests.project import Project, run

slow = pytest.mark.slow

TRAIN = "import mlflow\nwith mlflow.start_run():\n    pass\n"


@pytest.fixture(autouse=True)
def forget_code() -> Iterator[None]:
    code._results.clear()
    yield
    code._results.clear()


@pytest.fixture
def trained(project: Project, store: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a script that starts a run, all committed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.write("train.py", TRAIN)
    project.write("src/lib.py", "x = 1\n")
    project.add("in.csv", "1\n")
    project.commit()
    return project


def start(*command: str, cwd: Path, **env: str) -> dict[str, str]:
    """The tags of the run that a command starts."""
    before = {r.info.run_id for r in list_runs()}
    run(*command, cwd=cwd, check=True, **env)
    (found,) = [r for r in list_runs() if r.info.run_id not in before]
    return dict(found.data.tags)


def list_runs() -> list[Any]:
    return list(MlflowClient(os.environ["MLFLOW_TRACKING_URI"]).search_runs(["0"]))


def program(tags: dict[str, str]) -> Program:
    found = manifest.parse(read_manifest_parts(tags)).program
    assert found is not None
    return found


@pytest.mark.slow
def test_the_command_is_recorded_as_another_clone_can_run_it(trained: Project) -> None:
    path, python = trained.path, sys.executable
    here = start(python, "-W", "ignore", "train.py", "--lr", "0.1", cwd=path)
    assert program(here).args == ("python", "-W", "ignore", "train.py", "--lr", "0.1")
    assert program(here).folder == "."
    assert program(here).python == ".".join(map(str, sys.version_info[:3]))
    assert program(here).code == "clean"
    assert "dvc.code_status" not in here

    (path / "link.csv").symlink_to("/dev/null")
    script, data = str(path / "train.py"), str(path / "link.csv")
    inside = start(python, script, f"--in={data}", "/dev/null", cwd=path / "src")
    assert program(inside).args == ("python", "../train.py", "--in=../link.csv", "/dev/null")
    assert program(inside).folder == "src"
    assert program(start(python, "-m", "train", cwd=path)).args == ("python", "-m", "train")


@slow
def test_secrets_are_masked_and_the_rest_stays(trained: Project) -> None:
    args = ("--token", "s3cr3t", "--max-tokens=512", "db.password=s3cr3t", "--url=http://u:p@h/")
    tags = start(sys.executable, "train.py", *args, cwd=trained.path)
    found = program(tags)
    assert found.args[2:] == (
        *("--token", "***", "--max-tokens=512", "db.password=***", "--url=http://***@h/"),
    )
    assert found.is_masked
    assert "s3cr3t" not in str(found)


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        ("--api-key K --verbose", "--api-key *** --verbose"),
        ("--token-file f --tokenizer bert --author=Bob", None),
        ("WANDB_API_KEY=abc", "WANDB_API_KEY=***"),
        ("https://h/x?sig=abc&y=2", "https://h/x?sig=***&y=2"),
        ('{"password":"abc"}', '{"password":"***"}'),
        ("AKIAABCDEFGHIJKLMNOP hf_abcdefghijklmnopqrstuvwx", "*** ***"),
        ("--key=5 --use-auth --lr 1", None),
    ],
)
def test_what_looks_like_a_secret(command: str, masked: str | None) -> None:
    assert " ".join(mask_secrets(command.split(" "))) == (masked or command)
    assert may_have_secret(command.split(" ")) or masked is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("+password = 'hunter22'", True),
        ("+  password: hunter2xx", True),
        ("+url = 'postgresql://me:pw@host/db'", True),
        ("+token = read_token()", False),
        ("+token: str = None", False),
        ("+tokenizer: bert-base-2024", False),
        ("+api_key = os.environ['KEY_NAME']", False),
    ],
)
def test_a_secret_in_code(text: str, found: bool) -> None:
    assert has_secret(text) is found


@slow
def test_what_nobody_typed_is_not_recorded(trained: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text(TRAIN)
    for command in ([str(outside)], ["train.py", "x" * 3000]):
        assert program(start(sys.executable, *command, cwd=trained.path)).args == ()
    assert program(start(sys.executable, "train.py", cwd=trained.path, RANK="1")).args == ()
    subprocess.run([sys.executable, "-"], input=TRAIN, text=True, cwd=trained.path, check=True)
    assert all(not program(dict(r.data.tags)).args for r in list_runs())


@slow
def test_it_can_be_switched_off(trained: Project) -> None:
    trained.write("src/lib.py", "x = 2\n")
    tags = start(sys.executable, "train.py", cwd=trained.path, MLFLOW_DVC_COMMAND="0")
    assert manifest.parse(read_manifest_parts(tags)).program is None
    assert "dvc.code_status" not in tags
    quick = start(sys.executable, "train.py", cwd=trained.path, MLFLOW_DVC_STATUS_BUDGET_MS="0")
    assert program(quick).code is None


def test_code_that_differs_is_recorded_as_git_shows_it(trained: Project) -> None:
    trained.write("src/lib.py", "x = 2\n")
    trained.write("src/räum lich.txt", "staged\n")
    trained.git("add", "src/räum lich.txt")
    tags = start(sys.executable, "train.py", cwd=trained.path)
    assert tags["dvc.code_status"] == "saved"
    expected = run("git", "diff", "HEAD", "--full-index", "--binary", cwd=trained.path)
    assert program(tags).diff.decode() == expected


@slow
def test_new_code_is_recorded_and_other_new_files_are_not(trained: Project) -> None:
    trained.write("new/model.py", "y = 1")
    trained.write("notes.txt", "hello")
    trained.write("mlruns.csv", "1")
    tags = start(sys.executable, "train.py", cwd=trained.path)
    assert tags["dvc.code_status"] == "saved"
    assert program(tags).diff.count(b"diff --git") == 1
    trained.git("stash", "-q", "-u")
    subprocess.run(["git", "apply"], input=program(tags).diff, cwd=trained.path, check=True)
    assert (trained.path / "new/model.py").read_bytes() == b"y = 1"


@slow
def test_data_and_metafiles_are_not_code(trained: Project) -> None:
    trained.write("dvc.yaml", "stages:\n  a:\n    cmd: echo\n    outs: [m.json: {cache: false}]\n")
    trained.write("m.json", "1")
    trained.commit()
    trained.write("m.json", "2")
    trained.write(".gitignore", "/x\n")
    trained.add("in.csv", "2\n")
    trained.write("dvc.yaml", (trained.path / "dvc.yaml").read_text() + "\n")
    tags = start(sys.executable, "train.py", cwd=trained.path)
    assert program(tags).code == "clean"


@slow
def test_code_that_cannot_be_recorded_is_told(trained: Project) -> None:
    big = "".join(f"{os.urandom(20).hex()}\n" for _ in range(400))
    for name, content in (("src/lib.py", "token = 'abcdef123'\n"), ("src/lib.py", big)):
        trained.write(name, content)
        tags = start(sys.executable, "train.py", cwd=trained.path)
        assert tags["dvc.code_status"] == "modified"
        assert program(tags).diff == b""
        assert "abcdef123" not in str(tags)
    logged = start(sys.executable, "train.py", cwd=trained.path, MLFLOW_DVC_AUTOLOG="artifacts")
    assert logged["dvc.code_status"] == "saved"
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    run_id = max(client.search_runs(["0"]), key=lambda r: r.info.start_time).info.run_id
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(client.download_artifacts(run_id, "dvc/code.diff", folder)).read_bytes()
    assert stored == run("git", "diff", "HEAD", "--full-index", cwd=trained.path).encode()


@slow
def test_a_merge_that_is_not_over_and_a_slow_git_are_told(trained: Project, tmp_path: Path) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    git = shutil.which("git")
    slow.write_text(f'#!/bin/sh\ncase $* in *porcelain*) exec sleep 60;; esac\nexec {git} "$@"\n')
    slow.chmod(0o755)
    path = f"{slow.parent}{os.pathsep}{os.environ['PATH']}"
    assert start(sys.executable, "train.py", cwd=trained.path, PATH=path)["dvc.code_status"] == (
        "unverified"
    )
    trained.git("checkout", "-q", "-b", "other")
    trained.write("src/lib.py", "x = 3\n")
    trained.commit()
    trained.git("checkout", "-q", "main")
    trained.write("src/lib.py", "x = 4\n")
    trained.commit()
    run("git", "merge", "-q", "other", cwd=trained.path, check=False)
    assert start(sys.executable, "train.py", cwd=trained.path)["dvc.code_status"] == "modified"


@slow
def test_in_a_sub_folder_all_code_of_the_repository_counts(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path / "mono", subdir="ml")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.write("train.py", TRAIN)
    project.write("../shared.py", "a = 1\n")
    project.write(
        "dvc.yaml", "stages:\n  a:\n    cmd: echo\n    metrics: [m.json: {cache: false}]\n"
    )
    project.write("m.json", "1")
    project.commit()
    project.write("../shared.py", "a = 2\n")
    project.write("m.json", "2")
    tags = start(sys.executable, "ml/train.py", cwd=tmp_path / "mono", MLFLOW_DVC_ROOT="ml")
    assert program(tags).folder == ".."
    assert b"shared.py" in program(tags).diff
    assert b"m.json" not in program(tags).diff


@given(st.binary(max_size=200).filter(lambda data: b"\0" not in data))
def test_a_new_file_comes_back_byte_for_byte(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder, "a.py")
        there.write_bytes(data)
        diff = code._diff_new(folder, "a.py")
        there.unlink()
        assert diff is not None
        subprocess.run(["git", "apply", "--whitespace=nowarn"], input=diff, cwd=folder, check=True)
        assert there.read_bytes() == data


def test_a_look_at_the_code_is_valid_for_a_moment(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> code.Code:
        return code.CodeLook(str(trained.path), "c").finish(10, set)

    assert look().status == "clean"
    trained.write("src/lib.py", "x = 2\n")
    assert look().status == "clean"
    monkeypatch.setattr(code, "_STANDS", 0.0)
    assert look().status == "modified"


def test_runs_of_another_program_on_the_same_data_share_a_manifest() -> None:
    from mlflow_dvc_plugin.state.tags import MANIFEST, MANIFEST_RUN, refer_to_manifest

    state = DataState(".", (Entry("a", "md5", "1" * 32),), program=Program(("python", "a.py")))
    worker = state._replace(program=Program())
    other = worker._replace(entries=(Entry("a", "md5", "2" * 32),))
    parent = state.to_tags()
    assert refer_to_manifest(worker.to_tags(), "p", lambda _: parent)[MANIFEST_RUN] == "p"
    assert MANIFEST in refer_to_manifest(other.to_tags(), "p", lambda _: parent)
    damaged = {**parent, MANIFEST: "1:1:4:abcd"}
    assert MANIFEST in refer_to_manifest(worker.to_tags(), "p", lambda _: damaged)


def test_the_diff_yields_to_everything_but_metafiles() -> None:
    diff = os.urandom(3000)
    entries = tuple(
        Entry(f"{os.urandom(8).hex()}", "md5", os.urandom(16).hex()) for _ in range(290)
    )
    small = DataState(".", entries[:20], program=Program(("a",), code="modified", diff=diff))
    assert small.to_tags()["dvc.code_status"] == "saved"
    assert load(small).program == Program(("a",), code="saved", diff=diff)
    large = DataState(".", entries, program=small.program)
    tags = large.to_tags()
    assert tags["dvc.code_status"] == "modified"
    assert load(large).program == Program(("a",), code="modified")
    assert sum(len(v) for v in tags.values()) <= 16_000


def load(state: DataState) -> manifest.Manifest:
    return manifest.parse(read_manifest_parts(state.to_tags()))


@pytest.mark.slow
def test_a_recorded_state_has_the_program(trained: Project) -> None:
    start(sys.executable, "train.py", "--x", cwd=trained.path)
    (found,) = list_runs()
    state = load_state(found.info.run_id, os.environ["MLFLOW_TRACKING_URI"])
    assert state.program is not None
    assert state.program.args == ("python", "train.py", "--x")


def test_a_look_ends_where_the_data_cannot_be_read(trained: Project) -> None:
    trained.write("dvc.yaml", "<<<<<<<\n")
    with pytest.raises(CaptureError):
        capture_run_start(program=True)
    assert [child.name() for child in psutil.Process().children() if child.name() == "git"] == []


@slow
def test_show_tells_what_a_run_ran(trained: Project) -> None:
    trained.write("src/lib.py", "x = 2\n")
    start(sys.executable, "train.py", "--name", "a b", cwd=trained.path)
    (found,) = list_runs()
    shown = mlflow_dvc("show", found.info.run_id)
    assert "python train.py --name 'a b'" in shown.stdout
    document = mlflow_dvc("show", found.info.run_id, "--json").json
    assert document["command"] == ["python", "train.py", "--name", "a b"]
    assert document["code_status"] == "saved"
