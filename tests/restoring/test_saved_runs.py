"""Runs whose data was saved when they started: what a restore brings back of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring import restore, undo
from tests.project import Project, run
from tests.record import record, record_saved, snapshot

METAFILES = (".dvc", "dvc.lock", ".gitignore", "dvc.yaml", ".dvcignore")


def data(folder: Path) -> dict[str, bytes]:
    """Everything but metafiles and Git's files."""
    return {k: v for k, v in snapshot(folder).items() if not k.endswith(METAFILES)}


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_a_saved_run_comes_back_with_metafiles_that_say_it(
    two: Project, tmp_path: Path, link: str
) -> None:
    two.dvc("config", "cache.type", link)
    two.write("model.bin", "other")
    two.write("data/a", "A")
    (two.path / "data/sub/b").unlink()
    before = data(two.path)
    saved = record_saved(two.path)
    assert saved.tags["dvc.status"] == "saved"
    for name in ("model.bin", "data/a"):
        two.write(name, "third")

    result = restore(saved, force=True)

    assert data(two.path) == before
    assert sorted(result.modified) == ["data", "model.bin"]
    assert (result.differed, result.untracked) == ([], [])
    assert two.data_status() == {}
    assert record(two.path).tags["dvc.data_hash"] == saved.tags["dvc.data_hash"]
    assert record(two.path).tags["dvc.status"] == "clean"
    assert restore(saved).files == 0
    restore(saved, out=tmp_path / "out")
    assert snapshot(tmp_path / "out") == before
    undo()
    assert (two.path / "data/a").read_text() == "third"


def test_a_saved_out_of_a_stage_comes_back(project: Project) -> None:
    project.write("in.txt", "1")
    project.write(
        "dvc.yaml",
        "stages:\n  make:\n    cmd: cp in.txt made && cp in.txt metrics.txt\n"
        "    deps: [in.txt]\n    outs: [made]\n"
        "    metrics:\n    - metrics.txt:\n        cache: false\n"
        "  never:\n    cmd: exit 1\n    outs: [by-hand]\n",
    )
    with project.opened() as repo:
        repo.reproduce("make")
    project.commit()
    for name in ("made", "metrics.txt", "by-hand"):
        project.write(name, f"{name} by hand")
    before = data(project.path)
    saved = record_saved(project.path)
    (project.path / "by-hand").unlink()
    for name in ("made", "metrics.txt"):
        project.write(name, "1")

    result = restore(saved, force=True)

    assert data(project.path) == before
    assert result.untracked == ["by-hand"]
    changed = project.data_status().get("uncommitted", {})
    assert "made" not in str(changed)
    assert record_saved(project.path).tags["dvc.data_hash"] == saved.tags["dvc.data_hash"]


def test_data_without_a_metafile_comes_back_without_one(two: Project, tmp_path: Path) -> None:
    two.write("raw/x", "x")
    two.write("raw/deep/y", "y")
    two.write("notes.csv", "n")
    two.write("data/a", "A")
    saved = record_saved(two.path, ("raw/**", "*.csv"))
    before = data(two.path)
    shutil.rmtree(two.path / "raw")
    (two.path / "notes.csv").unlink()

    result = restore(saved, force=True)

    assert result.untracked == ["notes.csv", "raw"]
    assert data(two.path) == before
    assert not (two.path / "raw.dvc").exists()
    assert "raw" not in (two.path / ".gitignore").read_text()
    two.dvc("checkout")  # it does not take the data for its own
    assert data(two.path) == before
    restore(saved, out=tmp_path / "out")
    assert snapshot(tmp_path / "out") == before
    undo()
    assert not (two.path / "raw").exists()


def test_data_that_dvc_tracks_by_now_comes_back_with_its_metafile(two: Project) -> None:
    two.write("raw/x", "x")
    saved = record_saved(two.path, ("raw/**",))
    two.add("raw/x", "y")
    with pytest.raises(RestoreError, match=r"today DVC tracks raw/x\. Use --out"):
        restore(saved)
    with two.opened() as repo:
        repo.remove("raw/x.dvc")
    two.write("raw/x", "z")
    (two.path / "raw/.gitignore").unlink(missing_ok=True)
    two.add("raw")
    result = restore(saved)
    assert result.untracked == []
    assert (two.path / "raw/x").read_text() == "x"
    assert two.data_status() == {}


def test_a_modified_import_comes_back_as_data_without_a_metafile(
    two: Project, tmp_path: Path
) -> None:
    (tmp_path / "source").write_text("imported")
    two.dvc("import-url", str(tmp_path / "source"), "imported")
    two.commit()
    metafile = (two.path / "imported.dvc").read_bytes()
    two.write("imported", "changed by hand")
    saved = record_saved(two.path)
    assert saved.tags["dvc.status"] == "saved"
    two.write("imported", "imported")

    result = restore(saved)

    assert (two.path / "imported").read_text() == "changed by hand"
    assert result.untracked == ["imported"]
    assert (two.path / "imported.dvc").read_bytes() == metafile


def test_a_modified_out_of_dvc_2_is_saved_as_dvc_3_would(two: Project) -> None:
    text = b"a\r\nb\r\n"
    two.write("old.txt", text)
    two.write("old.txt.dvc", "outs:\n- md5: 0d599f0ec05c3bda8c3b8a68c32a1b47\n  path: old.txt\n")
    two.commit()
    saved = record_saved(two.path)
    two.write("old.txt", "else")
    restore(saved, force=True)
    assert (two.path / "old.txt").read_bytes() == text
    assert "hash: md5" in (two.path / "old.txt.dvc").read_text()
    assert two.data_status() == {}


def test_an_executable_and_an_empty_folder_come_back(two: Project) -> None:
    two.write("model.bin", "#!/bin/sh\n").chmod(0o755)
    shutil.rmtree(two.path / "data")
    (two.path / "data").mkdir()
    saved = record_saved(two.path)
    two.write("model.bin", "first")
    two.write("data/a", "a")
    restore(saved, force=True)
    assert os.access(two.path / "model.bin", os.X_OK)
    assert (two.path / "model.bin").read_text() == "#!/bin/sh\n"
    assert list((two.path / "data").iterdir()) == []
    assert two.data_status() == {}


def test_a_saved_run_comes_back_from_the_remote(two: Project, tmp_path: Path) -> None:
    two.remote(tmp_path / "remote")
    two.write("data/a", "A")
    two.write("raw/x", "x")
    saved = record_saved(two.path, ("raw/**",))
    before = data(two.path)
    shutil.copytree(two.path / ".dvc/cache/files", tmp_path / "remote/files")
    two.lose("raw", "data")
    restore(saved)
    assert data(two.path) == before


def test_more_outs_than_a_manifest_holds(two: Project) -> None:
    two.add_files("many", {f"{number}": b"%d" % number for number in range(320)})
    two.commit()
    two.write("many/7", "seven")
    two.write("raw/x", "x")
    saved = record_saved(two.path, ("raw/**",))
    two.write("many/7", "8")
    restore(saved, force=True)
    assert (two.path / "many/7").read_text() == "seven"


def test_a_worktree_has_the_code_and_the_saved_data(two: Project, tmp_path: Path) -> None:
    two.write("data/a", "A")
    two.write("raw/x", "x")
    saved = record_saved(two.path, ("raw/**",))
    before = data(two.path)
    restore(saved, worktree=tmp_path / "tree")
    assert data(tmp_path / "tree") == before
    run("git", "worktree", "remove", "--force", str(tmp_path / "tree"), cwd=two.path)
