"""What someone could do who can write tags, to the remote, or to the repository."""

from __future__ import annotations

import json
import subprocess
from hashlib import md5
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing.commit_state import read_commit_state
from mlflow_dvc_plugin.errors import RestoreError, UnsafePathError
from mlflow_dvc_plugin.restoring import restore, undo
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project
from tests.record import record, snapshot

CODE = "raise SystemExit('this came from a tag')\n"
CODE_MD5 = md5(CODE.encode()).hexdigest()


def forge(*entries: Entry, **tags: str) -> Run:
    """A run with tags that are sound in themselves."""
    state = DataState(root=".", entries=entries)
    return Run("e" * 32, "forged", "0", 0, {**state.to_tags(), **tags})


def store(project: Project, content: str) -> str:
    """Put bytes into the cache, as someone does who can write to the remote; their hash."""
    value = md5(content.encode()).hexdigest()
    target = project.write(f".dvc/cache/files/md5/{value[:2]}/{value[2:]}", content)
    target.chmod(0o444)
    return value


@pytest.mark.parametrize(
    "path", ["sitecustomize.py", "src/numpy.so", ".envrc", ".vscode/tasks.json", "Makefile"]
)
def test_a_tag_does_not_put_new_code_into_the_workspace(
    project: Project, path: str, tmp_path: Path
) -> None:
    project.add("data", "1")
    commit = project.commit()
    value = store(project, CODE)
    before = snapshot(project.path)
    run = forge(Entry(path, "md5", value), **{"dvc.git_commit": commit})
    with pytest.raises(UnsafePathError, match="programs may run a file of this name"):
        restore(run)
    assert snapshot(project.path) == before
    restore(run, out=tmp_path / "out")
    assert (tmp_path / "out" / path).read_text() == CODE


def test_a_tag_does_not_put_new_code_into_a_folder_either(project: Project) -> None:
    project.add("data", "1")
    project.commit()
    listing = json.dumps([{"md5": store(project, CODE), "relpath": "__init__.py"}])
    value = md5(listing.encode()).hexdigest()
    target = project.write(f".dvc/cache/files/md5/{value[:2]}/{value[2:]}.dir", listing)
    target.chmod(0o444)
    with pytest.raises(UnsafePathError, match="yaml/__init__"):
        restore(forge(Entry("yaml", "md5", f"{value}.dir", isdir=True)))
    assert not (project.path / "yaml").exists()


def test_code_that_dvc_tracks_is_restored(project: Project) -> None:
    project.add("tools/made.py", CODE)
    project.commit()
    run = record(project.path)
    (project.path / "tools/made.py").unlink()
    (project.path / "tools/made.py.dvc").unlink()
    project.commit()
    restore(run)
    assert (project.path / "tools/made.py").read_text() == CODE


@pytest.mark.parametrize("path", [".git/hooks/post-checkout", ".git/config", ".dvc/config"])
def test_an_undo_record_that_came_with_the_project_writes_no_settings(
    project: Project, path: str
) -> None:
    project.add("a", "1")
    first = record(project.path)
    project.add("a", "2")
    restore(first)
    (own,) = (project.path / ".dvc/tmp/mlflow-dvc/undo").glob("*.json")
    document = json.loads(own.read_text())
    document["metafiles"][path] = "cHduZWQK"
    project.write(
        ".dvc/tmp/mlflow-dvc/undo/29991231T235959.000000000-abcdef.json", json.dumps(document)
    )
    old = project.path / path
    before = old.read_bytes() if old.exists() else None
    with pytest.raises(RestoreError, match="leads out of the project"):
        undo()
    assert (old.read_bytes() if old.exists() else None) == before


def make_tree(project: Project, *lines: bytes) -> str:
    """A tree as Git itself would never write it."""
    made = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
        cwd=project.path,
        input=b"".join(lines),
        capture_output=True,
        check=True,
    )
    return made.stdout.decode().strip()


@pytest.mark.parametrize("name", [b"..", b".git", b"../.."])
def test_a_commit_whose_tree_leads_elsewhere_writes_nothing_there(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    project.add("a", "1")
    good = project.commit()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    blob = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"],
        cwd=project.path,
        input=b"evil: true\n",
        capture_output=True,
        check=True,
    )
    oid = bytes.fromhex(blob.stdout.decode().strip())
    inner = bytes.fromhex(make_tree(project, b"100644 evil.yaml\0" + oid))
    tree = make_tree(project, b"40000 " + name + b"\0" + inner)
    commit = project.git("commit-tree", tree, "-p", good, "-m", "evil").strip()
    state = read_commit_state(str(project.path), commit)
    assert state.entries == ()
    assert list(tmp_path.rglob("evil.yaml")) == []


def test_a_revision_in_a_tag_does_not_name_a_branch_of_others(
    project: Project, tmp_path: Path
) -> None:
    """On that branch, a metafile says that the data was imported from elsewhere."""
    source = tmp_path / "elsewhere"
    source.write_text(CODE)
    project.add("data", "1")
    project.commit()
    project.git("checkout", "-q", "-b", "theirs")
    project.dvc("import-url", "--no-download", str(source), "x.csv")
    project.commit("theirs")
    project.git("checkout", "-q", "main")
    entry = Entry("x.csv", "md5", CODE_MD5, kind="import-url", metafile="x.csv.dvc")
    with pytest.raises(RestoreError, match="its metafile does not say"):
        restore(forge(entry, **{"dvc.git_commit": "theirs"}))
    assert not (project.path / "x.csv").exists()


def test_a_worktree_is_not_filled_from_where_its_commit_says(
    project: Project, tmp_path: Path
) -> None:
    """The commit's configuration has a cache and a remote of its own, with other data."""
    project.remote(tmp_path / "remote")
    project.add("data", "1")
    project.commit()
    project.push()
    project.git("checkout", "-q", "-b", "theirs")
    config = project.path / ".dvc" / "config"
    text = config.read_text()
    config.write_text(
        f"{text}['remote \"theirs\"']\n    url = {tmp_path}/theirs\n[cache]\n    local = theirs\n"
    )
    commit = project.commit("theirs")
    project.git("checkout", "-q", "main")
    config.write_text(text)
    run = record(project.path)
    tree = tmp_path / "tree"
    asked = Run(run.run_id, "", "0", 0, {**run.tags, "dvc.git_commit": commit})
    restore(asked, worktree=tree)
    assert (tree / "data").read_text() == "1"
    assert not (tmp_path / "theirs").exists()
