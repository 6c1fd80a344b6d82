"""What years of use, and other people's tags, can bring about: nothing is lost, nothing lies."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.cli.restoring.restore import report
from mlflow_dvc_plugin.dvc.transfer.remotes import Remotes
from mlflow_dvc_plugin.errors import (
    MlflowDvcError,
    RestoreError,
    UnsafePathError,
    UnsavedContentError,
)
from mlflow_dvc_plugin.restoring import checkout, restore, undo
from mlflow_dvc_plugin.state import Entry, fingerprint, manifest
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project
from tests.record import record, snapshot

ONE_STAGE = "stages:\n  a:\n    cmd: cp in a\n    deps: [in]\n    outs: [a]\n"


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def crafted(
    *entries: Entry, metafiles: dict[str, str] | None = None, commit: str | None = None
) -> Run:
    """A run whose tags somebody wrote by hand."""
    texts = {name: text.encode() for name, text in (metafiles or {}).items()}
    parts = manifest.dump(manifest.Manifest(entries, metafiles=texts))
    own = {"dvc.schema": "1", "dvc.root": ".", "dvc.data_hash": fingerprint(entries)}
    own |= {f"dvc.manifest.{n}" if n else "dvc.manifest": part for n, part in enumerate(parts)}
    if commit is not None:
        own["dvc.git_commit"] = commit
    return Run("e" * 32, "", "0", 0, own)


def refused_or_done(run: Run, **options: Any) -> None:
    try:
        restore(run, **options)
    except MlflowDvcError as err:
        assert "\n" not in str(err)  # noqa: PT017


# -- tags are input from others ------------------------------------------------


def test_a_tag_cannot_roll_back_code(project: Project) -> None:
    project.write("train.py", "old\n")
    old = project.commit()
    project.write("train.py", "fixed\n")
    project.commit()
    project.write("train.py", "an hour of unsaved work\n")
    e = Entry("train.py", "md5", md5("old\n"), cached=False, metafile="dvc.lock", stage="x")
    refused_or_done(crafted(e, commit=old))
    assert (project.path / "train.py").read_text() == "an hour of unsaved work\n"


def test_a_tag_cannot_bring_a_pipeline(project: Project) -> None:
    evil = "stages:\n  s:\n    cmd: touch pwned\n"
    project.write("dvc.yaml", evil)
    old = project.commit()
    project.write("dvc.yaml", "stages:\n  s:\n    cmd: echo fine\n")
    project.commit()
    e = Entry("dvc.yaml", "md5", md5(evil), cached=False, metafile="dvc.lock", stage="x")
    refused_or_done(crafted(e, commit=old))
    assert "pwned" not in (project.path / "dvc.yaml").read_text()


def test_a_metafile_in_a_tag_has_no_other_outs(project: Project) -> None:
    project.add("data/a", "1")
    project.add("b", "2")
    project.commit()
    text = (
        f"outs:\n- md5: {md5('1')}\n  size: 1\n  hash: md5\n  path: new\n"
        f"- md5: {md5('2')}\n  size: 1\n  hash: md5\n  path: ../../outside.txt\n"
        "- etag: abc\n  path: http://127.0.0.1:9/x\n"
    )
    e = Entry("data/new", "md5", md5("1"), metafile="data/new.dvc")
    refused_or_done(crafted(e, metafiles={"data/new.dvc": text}))
    metafile = project.path / "data/new.dvc"
    said = metafile.read_text() if metafile.exists() else ""
    assert "http" not in said
    assert "outside" not in said


def test_a_tag_does_not_write_into_a_project_in_the_project(project: Project) -> None:
    project.add("a", "1")
    inner = Project.create(project.path / "sub", git=False)
    before = snapshot(project.path)
    e = Entry("sub/x", "md5", md5("1"), size=1, metafile="sub/x.dvc")
    with pytest.raises(UnsafePathError, match="a DVC project of its own"):
        restore(crafted(e))
    assert snapshot(project.path) == before
    assert inner.data_status() == {}


@pytest.mark.parametrize("name", ["dvc.yaml", "dvc.lock", ".dvcignore", ".GitModules"])
def test_a_tag_does_not_make_data_into_settings(project: Project, name: str) -> None:
    project.add("a", "1")
    before = snapshot(project.path)
    with pytest.raises(UnsafePathError):
        restore(crafted(Entry(f"s/{name}", "md5", md5("1"), size=1, metafile=f"s/{name}.dvc")))
    assert snapshot(project.path) == before


def test_what_tags_say_is_printable(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.add("data/a", "1")
    project.commit()
    a = Entry("data/a", "md5", md5("1"), metafile="data/a.dvc")
    report(restore(crafted(a, Entry("/tmp/\x1b[2J", "md5", md5("1"), metafile="x"))), as_json=False)
    assert "\x1b" not in capsys.readouterr().out


def test_the_list_of_paths_is_one_line(project: Project) -> None:
    assert project
    odd = Entry("a\nError: b\x1b[2J", "md5", md5("1"), metafile="x")
    with pytest.raises(RestoreError) as err:
        restore(crafted(odd), ["nothing"])
    assert "\n" not in str(err.value)
    assert "\x1b" not in str(err.value)


def test_half_a_character_in_a_tag_is_one_sentence(project: Project) -> None:
    assert project
    half = Entry("x\ud800", "md5", md5("1"), metafile="x")
    parts = manifest.dump(manifest.Manifest((half,)))
    tags = {"dvc.schema": "1", "dvc.data_hash": "0" * 32, "dvc.manifest": parts[0]}
    with pytest.raises(MlflowDvcError):
        restore(Run("e" * 32, "", "0", 0, tags))


def test_half_a_character_in_a_listing_is_one_sentence(project: Project) -> None:
    project.add("data/a", "1")
    data = json.dumps([{"md5": md5("1"), "relpath": "a\ud800"}])
    value = md5(data)
    target = project.path / f".dvc/cache/files/md5/{value[:2]}/{value[2:]}.dir"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(data)
    with pytest.raises(MlflowDvcError):
        restore(crafted(Entry("d", "md5", f"{value}.dir", isdir=True, metafile="d.dvc")))


def test_a_metafile_name_that_is_too_long_is_one_sentence(project: Project) -> None:
    project.add("data/a", "1")
    name = "x" * 300 + ".dvc"
    text = f"outs:\n- md5: {md5('1')}\n  size: 1\n  hash: md5\n  path: data/a\n"
    e = Entry("data/a", "md5", md5("1"), metafile=name)
    refused_or_done(crafted(e, metafiles={name: text}))


# -- nothing is lost -----------------------------------------------------------


def test_an_edit_during_the_download_is_seen(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.remote(tmp_path / "remote")
    for name in ("a", "b"):
        project.add(name, f"{name} one")
    project.push()
    recorded = record(project.path)
    for name in ("a", "b"):
        project.add(name, f"{name} two")
        value = md5(f"{name} one")
        (project.path / f".dvc/cache/files/md5/{value[:2]}/{value[2:]}").unlink()
    fetch = Remotes.fetch

    def slow(self: Remotes, *args: Any, **kwargs: Any) -> Any:
        project.write("a", "an hour of work")
        return fetch(self, *args, **kwargs)

    monkeypatch.setattr(Remotes, "fetch", slow)
    with pytest.raises(UnsavedContentError):
        restore(recorded)
    assert (project.path / "a").read_text() == "an hour of work"


def test_a_metric_written_by_hand_is_named(project: Project) -> None:
    project.write(
        "dvc.yaml",
        "stages:\n  s:\n    cmd: cp in m.json\n    deps: [in]\n"
        "    metrics: [{m.json: {cache: false}}]\n",
    )
    project.write("in", "1")
    project.dvc("repro", "-q")
    project.commit()
    recorded = record(project.path)
    project.write("m.json", "hand made, nowhere else")
    with pytest.raises(UnsavedContentError):
        restore(recorded)
    restore(recorded, force=True)
    assert (project.path / "m.json").read_text() == "1"
    undo()
    assert (project.path / "m.json").read_text() == "hand made, nowhere else"


def test_a_pipeline_that_is_not_committed_is_named(project: Project) -> None:
    project.write("dvc.yaml", ONE_STAGE)
    project.add("in", "1")
    project.dvc("repro", "-q")
    project.commit()
    recorded = record(project.path)
    work = ONE_STAGE.replace("cp in a", "cp in a && touch x") + "  # an hour of work\n"
    project.write("dvc.yaml", work)
    project.add("in", "2")
    project.dvc("repro", "-q")
    with contextlib.suppress(UnsavedContentError):
        restore(recorded)
    assert (project.path / "dvc.yaml").read_text() == work


def test_undo_does_not_give_an_untracked_file_to_dvc(project: Project) -> None:
    project.add("data/new.txt", "tracked")
    project.commit()
    recorded = record(project.path)
    project.dvc("remove", "-q", "data/new.txt.dvc")
    project.write("data/new.txt", "my notes")
    project.add("other", "x")
    restore(recorded, force=True)
    undo()
    assert (project.path / "data/new.txt").read_text() == "my notes"


def test_a_stage_made_since_keeps_its_lock_entry(project: Project) -> None:
    more = "  b:\n    cmd: echo hours > b\n    outs: [b]\n"
    project.write("dvc.yaml", ONE_STAGE + more)
    project.add("in", "1")
    project.dvc("repro", "-q", "a")
    project.commit()
    recorded = record(project.path)
    project.dvc("repro", "-q")
    project.add("in", "2")
    restore(recorded)
    assert project.data_status() == {}
    project.dvc("checkout", "-q")
    assert (project.path / "b").read_text() == "hours\n"


def test_undo_after_a_kill_and_a_second_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("a", "1")
    project.add("b", "1b")
    recorded = record(project.path)
    project.add("a", "2")
    project.add("b", "2b")
    project.write("a", "unsaved")
    before = snapshot(project.path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkout, "write_contents", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(recorded, force=True)
    restore(recorded, force=True)
    undo()
    assert snapshot(project.path) == before


@pytest.mark.parametrize("force", [True, False])
def test_out_never_deletes_foreign_files(project: Project, tmp_path: Path, force: bool) -> None:
    project.write("d/x", "1")
    project.add("d")
    project.add("y", "mine")
    recorded = record(project.path)
    (tmp_path / "out/d").mkdir(parents=True)
    (tmp_path / "out/d/notes.txt").write_text("mine, new" if force else "mine")
    refused_or_done(recorded, out=tmp_path / "out", force=force)
    assert (tmp_path / "out/d/notes.txt").exists()


def test_out_may_be_a_folder_that_is_not_there_yet(project: Project, tmp_path: Path) -> None:
    project.add("a", "1")
    restore(record(project.path), out=tmp_path / "new" / "deep")
    assert (tmp_path / "new/deep/a").read_text() == "1"


def test_out_is_not_the_project(project: Project) -> None:
    project.add("a", "1")
    recorded = record(project.path)
    project.add("a", "2")
    for out in (project.path, "", ".", project.path / ".dvc/x"):
        with pytest.raises(MlflowDvcError):
            restore(recorded, out=out)
    assert (project.path / "a").read_text() == "2"


def test_a_file_where_a_folder_with_an_empty_folder_is(project: Project) -> None:
    project.add("data", "1")
    recorded = record(project.path)
    project.dvc("remove", "-q", "data.dvc")
    (project.path / "data").unlink()
    project.write("data/x", "2")
    (project.path / "data/logs").mkdir()
    project.add("data")
    project.commit()
    restore(recorded)
    assert (project.path / "data").read_text() == "1"


def test_undo_takes_gitignore_back(project: Project) -> None:
    project.add("data/new.txt", "t")
    project.commit()
    recorded = record(project.path)
    project.dvc("remove", "-q", "data/new.txt.dvc")
    (project.path / "data/new.txt").unlink()
    project.add("x", "y")
    project.commit()
    before = snapshot(project.path)
    restore(recorded)
    assert project.git("status", "--porcelain", "data").count("new.txt\n") == 0
    undo()
    assert snapshot(project.path) == before


def test_empty_folders_come_back(project: Project) -> None:
    (project.path / "d").mkdir()
    project.add("d")
    recorded = record(project.path)
    (project.path / "d").rmdir()
    assert restore(recorded).added == ["d"]
    assert (project.path / "d").is_dir()


def test_undo_keeps_an_empty_folder(project: Project) -> None:
    project.write("d/x", "1")
    project.add("d")
    recorded = record(project.path)
    (project.path / "d/x").unlink()
    project.add("d")
    restore(recorded)
    undo()
    assert (project.path / "d").is_dir()


# -- metafiles do not lie ------------------------------------------------------


def test_one_of_a_stage_s_outs(project: Project) -> None:
    project.write(
        "dvc.yaml",
        "stages:\n  s:\n    cmd: cp in x && cp in y\n    deps: [in]\n    outs: [x, y]\n",
    )
    project.add("in", "1")
    project.dvc("repro", "-q")
    recorded = record(project.path)
    project.add("in", "2")
    project.dvc("repro", "-q")
    restore(recorded, ["x"])
    assert project.data_status() == {}


def test_a_metafile_that_git_ignores_is_refused(project: Project) -> None:
    project.add("data/a", "1")
    project.commit()
    recorded = record(project.path)
    project.dvc("remove", "-q", "data/a.dvc")
    project.write(".gitignore", "data/\n")
    before = snapshot(project.path)
    with pytest.raises(RestoreError, match="Git ignores"):
        restore(recorded)
    assert snapshot(project.path) == before


def test_an_import_is_not_merged(project: Project, tmp_path: Path) -> None:
    registry = Project.create(tmp_path / "registry")
    registry.remote(tmp_path / "store")
    registry.add("f", "v1")
    registry.push()
    registry.commit()
    project.dvc("import", "-q", str(registry.path), "f")
    recorded = record(project.path)
    registry.add("f", "v2")
    registry.push()
    registry.commit()
    project.dvc("update", "-q", "f.dvc")
    tags = {k: v for k, v in recorded.tags.items() if k != "dvc.git_commit"}
    with pytest.raises(RestoreError, match="cannot track f as the run did"):
        restore(replace(recorded, tags=tags))
    assert (project.path / "f").read_text() == "v2"


def test_a_run_of_another_project_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    one = Project.create(tmp_path / "mono", subdir="one")
    (tmp_path / "mono/two").mkdir()
    Repo.init(str(tmp_path / "mono/two"), subdir=True).close()
    two = Project(tmp_path / "mono/two")
    for project, text in ((one, "one's"), (two, "two's")):
        project.remote(tmp_path / "remote")
        project.add("train.csv", text)
        project.push()
    recorded = record(one.path)
    monkeypatch.chdir(two.path)
    with pytest.raises(RestoreError, match="was made in one"):
        restore(recorded)
    assert (two.path / "train.csv").read_text() == "two's"


def test_the_executable_bit_alone(project: Project) -> None:
    project.write("t", "#!1").chmod(0o755)
    project.add("t")
    recorded = record(project.path)
    (project.path / "t").chmod(0o644)
    project.add("t")
    restore(recorded)
    assert os.access(project.path / "t", os.X_OK)


def test_a_long_name(project: Project) -> None:
    name = "x" * 245
    project.add(name, "1")
    recorded = record(project.path)
    project.add(name, "2")
    restore(recorded)
    assert (project.path / name).read_text() == "1"
    assert project.data_status() == {}


def test_a_dry_run_downloads_nothing(project: Project, tmp_path: Path) -> None:
    project.remote(tmp_path / "remote")
    project.add("a", "1")
    project.push()
    recorded = record(project.path)
    project.add("a", "2")
    value = md5("1")
    cached = project.path / f".dvc/cache/files/md5/{value[:2]}/{value[2:]}"
    cached.unlink()
    assert restore(recorded, dry_run=True).modified == ["a"]
    assert not cached.exists()
    shutil.rmtree(tmp_path / "remote/files")
    with pytest.raises(MlflowDvcError, match="not in the remote"):
        restore(recorded, dry_run=True)


def test_a_remote_that_is_not_configured_is_said(project: Project) -> None:
    project.add("a", "1")
    recorded = record(project.path)
    project.add("a", "2")
    with pytest.raises(MlflowDvcError, match="no DVC remote 'nobody'"):
        restore(recorded, remote="nobody")


@pytest.mark.parametrize("what", ["db", "tmp", "dvcignore"])
def test_a_broken_setup_is_one_sentence(project: Project, what: str) -> None:
    project.add("f", "1")
    recorded = record(project.path)
    project.add("f", "2")
    if what == "db":
        for path in Path(os.environ["DVC_SITE_CACHE_DIR"]).rglob("cache.db"):
            path.write_bytes(b"x" * 9000)
    if what == "tmp":
        shutil.rmtree(project.path / ".dvc/tmp")
        (project.path / ".dvc/tmp").write_text("")
    if what == "dvcignore":
        (project.path / ".dvcignore").write_bytes(b"\xff\xfe")
    refused_or_done(recorded)
    refused_or_done(recorded, out=project.path.parent / "out")
    try:
        undo()
    except MlflowDvcError as err:
        assert "\n" not in str(err)  # noqa: PT017
