"""A state that is exported here and tagged elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_dvc_plugin import from_dvc
from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.run_start import capture_run_start
from mlflow_dvc_plugin.errors import DatasetError, StateFileError
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.state import DataState, Entry, state_file
from mlflow_dvc_plugin.tracking import Run
from tests import forkserver
from tests.history import mlflow_dvc
from tests.project import Project, checked

TAGS = """
import builtins, json, sys
real = builtins.__import__
def guarded(name, *args, **kwargs):
    assert name.split(".")[0] not in ("dvc", "git", "scmrepo"), name
    return real(name, *args, **kwargs)
builtins.__import__ = guarded
from mlflow.tracking.context.registry import resolve_tags
print(json.dumps({k: v for k, v in resolve_tags().items() if k.startswith("dvc.")}))
"""


def export(project: Project, *args: str) -> str:
    command = ("-m", "mlflow_dvc_plugin.cli", "export", *args)
    return checked(forkserver.DVC.run(*command, cwd=project.path))


def tags_in(folder: Path, state: Path, fresh: bool = False) -> dict[str, str]:
    """The tags of a run in a folder that has nothing: no project, no Git on PATH.

    A fresh process imports MLflow itself; the others are forked when that is done.
    """
    environ = {**os.environ, "MLFLOW_DVC_STATE": str(state), "PATH": str(folder)}
    if fresh:
        done = subprocess.run(
            [sys.executable, "-c", TAGS],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
    else:
        done = forkserver.MLFLOW.run("-c", TAGS, cwd=folder, env=environ)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_a_worker_with_nothing_but_the_file_tags_its_runs_the_same(
    project: Project, empty: Path
) -> None:
    project.add("data/a.csv", "1")
    project.add("data/größe", "2")
    project.commit()
    export(project, "--output", str(empty / "state.json"))
    state = capture(project.path)
    assert state is not None
    assert tags_in(empty, empty / "state.json", fresh=True) == state.to_tags()


@pytest.mark.slow
def test_a_run_of_a_worker_is_restored_from_its_tags(project: Project, empty: Path) -> None:
    project.add("a", "1")
    project.commit()
    export(project, "-o", str(empty / "state.json"))
    tags = tags_in(empty, empty / "state.json")
    metafile = (project.path / "a.dvc").read_bytes()
    project.add("a", "2")
    restore(Run("0" * 32, "worker", "0", 0, tags), project=str(project.path))
    assert (project.path / "a").read_text() == "1"
    assert (project.path / "a.dvc").read_bytes() == metafile


def test_the_document_is_the_state(project: Project) -> None:
    project.add("a", "1")
    document = json.loads(export(project))
    assert document == json.loads(export(project, "--json"))
    assert document["data_hash"]
    assert document["entries"][0]["path"] == "a"
    assert set(document["entries"][0]) >= {"hash_name", "hash", "size", "nfiles", "metafile"}


def test_every_field_of_a_state_comes_back() -> None:
    entries = (
        Entry("a\udcff", "md5", "1" * 32, 3, isexec=True, push=False, metafile="a.dvc"),
        Entry(
            "d", "etag", "xyz", 1, 2, True, False, True, "s", "dvc.lock", False, "r", True, "import"
        ),
        Entry("n", "md5", None),
    )
    state = DataState(
        "sub",
        entries,
        "l" * 32,
        "c" * 40,
        "modified",
        ("a\udcff",),
        "s",
        "exp",
        "b" * 40,
        "r",
        {"a.dvc": b"outs:\n", "b.dvc": b"\xff\x00"},
        (entries[0],),
        {"dvc.yaml": "0" * 16},
    )
    again = state_file.loads(state_file.dumps(state), "x")
    assert again == state
    assert again.commit_entries == state.commit_entries
    assert again.pipelines == state.pipelines


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"hash": "c4ca', '"hash": "0000'),
        lambda text: text.replace('"version": 1', '"version": 99'),
        lambda text: text.replace('"size": 1', '"size": "big"'),
        lambda text: text.replace('"size": 1', '"size": true'),
        lambda text: text.replace('"size": 1', '"size": -1'),
        lambda text: text.replace('"path": "a"', r'"path": "\ud83d"'),
        lambda text: text.replace('"entries"', '"other"'),
        lambda text: text.replace('"path"', '"__class__"'),
        lambda _: "[]",
        lambda _: "[" * 100_000,
        lambda _: "",
    ],
)
def test_a_broken_file_is_refused(project: Project, damage: object) -> None:
    assert callable(damage)
    project.add("a", "1")
    state = capture(project.path)
    assert state is not None
    broken = damage(state_file.dumps(state))
    with pytest.raises(StateFileError, match="cannot be used"):
        state_file.loads(broken, "x")


def test_a_missing_file_is_said_in_the_tags(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow_dvc_plugin.provider import DvcRunContext

    monkeypatch.setenv("MLFLOW_DVC_STATE", str(empty / "none.json"))
    tags = DvcRunContext().tags()
    assert set(tags) == {"dvc.schema", "dvc.error"}
    assert "none.json cannot be used" in tags["dvc.error"]
    assert "mlflow-dvc export" in tags["dvc.error"]


def test_a_file_that_is_written_anew_is_read_anew(
    project: Project, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = empty / "state.json"
    monkeypatch.setenv("MLFLOW_DVC_STATE", str(file))
    seen = []
    for content in ("1", "22"):
        project.add("a", content)
        state = capture(project.path)
        assert state is not None
        file.write_text(state_file.dumps(state))
        found = capture_run_start()
        assert found is not None
        seen.append(found.state.data_hash == state.data_hash)
    assert seen == [True, True]


def test_a_large_state_keeps_what_its_commit_says() -> None:
    entries = tuple(Entry(f"{n:04d}", "md5", f"{n:032x}") for n in range(400))
    state = DataState(".", entries, git_commit="c" * 40, commit_entries=entries[1:])
    assert state_file.loads(state_file.dumps(state), "x").to_tags() == state.to_tags()
    assert state.to_tags() != state._replace(commit_entries=None).to_tags()


@pytest.fixture
def worker(project: Project, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with some of a project's data, far from the project, and its exported state."""
    project.add("data/a.csv", "x,y\n1,0\n")
    project.write("data/raw/one", "1")
    project.write("data/raw/sub/größe", "2")
    project.add("data/raw")
    export(project, "-o", str(empty / "state.json"))
    shutil.copytree(project.path / "data", empty / "mount/data")
    monkeypatch.setenv("MLFLOW_DVC_STATE", str(empty / "state.json"))
    monkeypatch.chdir(empty / "mount")
    return empty / "mount"


def test_data_on_a_worker_is_named_as_in_the_project(
    project: Project, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("data/a.csv", "data/raw", "data/raw/one")
    found = [from_dvc(name, targets="y" if name.endswith("csv") else None) for name in names]
    assert [item.name for item in found] == list(names)
    assert found[0].df.to_dict("list") == {"x": [1], "y": [0]}
    monkeypatch.chdir(worker / "data")
    again = [from_dvc(worker / name) for name in names]
    assert [item.digest for item in again] == [item.digest for item in found]
    assert from_dvc("raw").name == "data/raw"
    for item in found:
        loaded = Path(item.source.load(project=str(project.path)))
        assert loaded.name == Path(item.name).name
    monkeypatch.delenv("MLFLOW_DVC_STATE")
    monkeypatch.chdir(project.path)
    assert [from_dvc(name).digest for name in names] == [item.digest for item in found]


def test_data_on_a_worker_that_is_not_what_was_exported_is_refused(worker: Path) -> None:
    (worker / "data/a.csv").write_text("x,y\n2,0\n")
    (worker / "data/raw/more").write_text("3")
    (worker / "other.csv").write_text("x\n")
    for name in ("data/a.csv", "data/raw", "data/raw/one"):
        with pytest.raises(DatasetError, match=r"differs from the hash.*mlflow-dvc export"):
            from_dvc(name)
    with pytest.raises(DatasetError, match=r"does not track other.csv. .*mlflow-dvc export"):
        from_dvc("other.csv")
    (worker / "data/a.csv").unlink()
    with pytest.raises(DatasetError, match="not in the workspace"):
        from_dvc("data/a.csv")


@pytest.mark.usefixtures("worker")
def test_status_tells_what_a_worker_would_record(
    monkeypatch: pytest.MonkeyPatch, empty: Path
) -> None:
    found = mlflow_dvc("status", "--json").json
    current_ = capture_run_start()
    assert current_ is not None
    assert found["tags"] == current_.state.to_tags()
    assert [entry["path"] for entry in found["entries"]] == ["data/a.csv", "data/raw"]
    (problem,) = found["problems"]
    assert "It is not known where the data is stored" in problem
    assert "exported state" in mlflow_dvc("status").stdout
    (empty / "state.json").write_text("{")
    assert "mlflow-dvc export" in mlflow_dvc("status").error
    monkeypatch.delenv("MLFLOW_DVC_STATE")
    assert "not in a DVC project" in mlflow_dvc("status").error


def test_status_in_the_project_judges_the_exported_state(
    project: Project, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.path)
    project.add("data/a.csv", "x,y\n3,1\n")
    found = mlflow_dvc("status", "--json").json
    assert found["entries"][0]["hash"] == hashlib.md5(b"x,y\n1,0\n").hexdigest()
    assert worker.exists()
    assert ["no default DVC remote" in problem for problem in found["problems"]] == [True]
