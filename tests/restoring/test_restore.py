"""Restore against its oracles: byte comparison, `dvc data status` and `git status`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing import dvc_writer
from mlflow_dvc_plugin.cli import main
from mlflow_dvc_plugin.cli.restoring.restore import report
from mlflow_dvc_plugin.errors import (
    MissingObjectsError,
    NoProjectError,
    NoRecordedStateError,
    RestoreError,
    UnsavedContentError,
)
from mlflow_dvc_plugin.restoring import RestoreResult, restore, undo
from tests.project import Project, run
from tests.record import record, snapshot


@pytest.fixture
def two(project: Project, tmp_path: Path) -> Project:
    """A project whose first of two data versions is committed and pushed."""
    project.remote(tmp_path / "remote")
    project.add("data/a.csv", "a,b\n1,2\n")
    project.write("data/images/1.txt", "one")
    project.write("data/images/sub/2.txt", "two")
    project.add("data/images")
    project.commit("first")
    project.push()
    return project


def second_version(project: Project) -> None:
    project.add("data/a.csv", "a,b\n1,3\n")
    project.write("data/images/1.txt", "uno")
    project.write("data/images/3.txt", "tre")
    (project.path / "data/images/sub/2.txt").unlink()
    project.add("data/images")


@pytest.mark.versions
@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_the_first_of_two_versions_comes_back_byte_for_byte(two: Project, link: str) -> None:
    two.dvc("config", "cache.type", link)
    two.commit("link type")
    before = snapshot(two.path)
    recorded = record(two.path)
    second_version(two)

    result = restore(recorded)

    assert snapshot(two.path) == before
    assert two.data_status() == {}
    assert two.git("status", "--porcelain") == ""
    assert result.modified == ["data/a.csv", "data/images"]
    assert result.source == "manifest"
    assert not (two.path / "data/images/3.txt").exists()


def test_a_folder_in_the_project_stands_for_the_project(two: Project, tmp_path: Path) -> None:
    before = snapshot(two.path)
    recorded = record(two.path)
    second_version(two)
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(NoProjectError, match="outside is not in a DVC project"):
        restore(recorded, project=str(outside))
    restore(recorded, project=str(two.path / "data" / "images"))
    assert snapshot(two.path) == before


@pytest.mark.versions
def test_a_lost_cache_and_workspace_come_back_from_the_remote(two: Project) -> None:
    before = snapshot(two.path)
    recorded = record(two.path)
    two.lose("data/a.csv", "data/images")

    result = restore(recorded)

    assert snapshot(two.path) == before
    assert two.data_status() == {}
    assert result.added == ["data/a.csv", "data/images"]
    assert result.files == 3
    assert result.bytes == sum(
        len(data) for name, data in before.items() if name.endswith(("a.csv", ".txt"))
    )


def test_what_stays_as_it_is_is_in_the_cache_afterwards(two: Project) -> None:
    recorded = record(two.path)
    two.write("data/images/1.txt", "uno")
    two.lose()
    restore(recorded, force=True)
    assert two.data_status() == {}


def test_a_second_restore_finds_nothing_to_do(two: Project) -> None:
    recorded = record(two.path)
    second_version(two)
    restore(recorded)
    result = restore(recorded)
    assert (result.files, result.metafiles, result.undo) == (0, [], None)
    assert result.unchanged == ["data/a.csv", "data/images"]


@pytest.mark.versions
def test_a_missing_object_is_named_and_nothing_is_touched(two: Project, tmp_path: Path) -> None:
    recorded = record(two.path)
    second_version(two)
    before = snapshot(two.path)
    shutil.rmtree(tmp_path / "remote")
    shutil.rmtree(two.path / ".dvc/cache")

    with pytest.raises(MissingObjectsError, match=r"data/images"):
        restore(recorded)

    assert snapshot(two.path) == before


def test_every_missing_object_is_named(two: Project, tmp_path: Path) -> None:
    two.add("data/b.csv", "b")
    two.push()
    recorded = record(two.path)
    shutil.rmtree(tmp_path / "remote" / "files" / "md5")
    for name in ("data/a.csv", "data/b.csv"):
        two.add(name, f"new {name}")
    shutil.rmtree(two.path / ".dvc/cache")
    with pytest.raises(MissingObjectsError) as err:
        restore(recorded, ["data/a.csv", "data/b.csv"])
    assert set(err.value.reasons) == {"data/a.csv", "data/b.csv"}


def test_a_remote_that_serves_other_bytes_is_not_believed(two: Project, tmp_path: Path) -> None:
    recorded = record(two.path)
    before = snapshot(two.path)
    for path in (tmp_path / "remote").rglob("*"):
        if path.is_file() and path.read_bytes() == b"one":
            path.chmod(0o644)
            path.write_bytes(b"eno")
    shutil.rmtree(two.path / ".dvc/cache")
    two.write("data/images/1.txt", "changed, and then saved")
    two.add("data/images")
    now = snapshot(two.path)
    with pytest.raises(MissingObjectsError, match=r"data/images/1.txt.*other bytes"):
        restore(recorded)
    assert snapshot(two.path) == now != before


def test_a_corrupt_cache_object_is_fetched_anew(two: Project) -> None:
    before = snapshot(two.path)
    recorded = record(two.path)
    for path in (two.path / ".dvc/cache").rglob("*"):
        if path.is_file() and path.read_bytes() == b"one":
            path.chmod(0o644)
            path.write_bytes(b"eno")
            path.chmod(0o444)
    (two.path / "data/images/1.txt").unlink()
    restore(recorded)
    assert snapshot(two.path) == before


def test_an_edit_that_was_never_added_is_refused_and_named(two: Project) -> None:
    recorded = record(two.path)
    second_version(two)
    two.write("data/a.csv", "hours of work")
    before = snapshot(two.path)

    with pytest.raises(UnsavedContentError, match=r"data/a\.csv"):
        restore(recorded)

    assert snapshot(two.path) == before


def test_an_extra_file_in_a_tracked_folder_is_refused_and_named(two: Project) -> None:
    recorded = record(two.path)
    two.write("data/images/notes.txt", "mine")
    before = snapshot(two.path)
    with pytest.raises(UnsavedContentError, match=r"data/images/notes\.txt"):
        restore(recorded)
    assert snapshot(two.path) == before


def test_an_edit_that_keeps_size_and_time_is_still_seen(two: Project) -> None:
    recorded = record(two.path)
    time.sleep(0.1)
    path = two.path / "data/a.csv"
    info = path.stat()
    with path.open("r+b") as file:
        file.write(b"A,B")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    with pytest.raises(UnsavedContentError):
        restore(recorded)


def test_an_edit_through_a_hardlink_is_not_taken_for_saved(two: Project) -> None:
    two.dvc("config", "cache.type", "hardlink")
    two.dvc("checkout", "-q", "--relink")
    recorded = record(two.path)
    path = two.path / "data/a.csv"
    path.chmod(0o644)
    path.write_bytes(b"a,b\n9,9\n")
    with pytest.raises((UnsavedContentError, MissingObjectsError)):
        restore(recorded, ["data/a.csv"])
    assert path.read_bytes() == b"a,b\n9,9\n"


@pytest.mark.versions
def test_force_saves_what_is_in_the_way_and_undo_brings_it_back(two: Project) -> None:
    clean = snapshot(two.path)
    recorded = record(two.path)
    second_version(two)
    two.write("data/a.csv", "hours of work")
    two.write("data/images/notes.txt", "mine")
    before = snapshot(two.path)

    restore(recorded, force=True)
    assert snapshot(two.path) == clean

    undo()
    assert snapshot(two.path) == before

    undo()
    assert snapshot(two.path) == clean
    assert two.data_status() == {}


def test_undo_names_a_later_edit_and_leaves_it(two: Project) -> None:
    recorded = record(two.path)
    second_version(two)
    restore(recorded)
    two.write("data/a.csv", "later")
    with pytest.raises(UnsavedContentError, match=r"data/a\.csv"):
        undo()


@pytest.mark.usefixtures("two")
def test_without_a_restore_there_is_nothing_to_undo() -> None:
    with pytest.raises(RestoreError, match="nothing to undo"):
        undo()


def test_a_restore_does_not_wait_for_the_lock_that_it_holds(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record(two.path)
    second_version(two)
    pauses: list[None] = []
    monkeypatch.setattr(dvc_writer, "pause", lambda: pauses.append(None))
    restore(recorded)
    assert len(pauses) < 4
    assert two.data_status() == {}


def test_only_the_chosen_paths_are_restored(two: Project) -> None:
    first = snapshot(two.path)
    recorded = record(two.path)
    second_version(two)
    second = snapshot(two.path)

    result = restore(recorded, ["data/a.csv"])

    assert result.modified == ["data/a.csv"]
    changed = {"data/a.csv", "data/a.csv.dvc"}
    expected = {name: first[name] if name in changed else data for name, data in second.items()}
    assert snapshot(two.path) == expected
    assert two.data_status() == {}


def test_a_path_that_the_run_did_not_have_lists_those_it_had(two: Project) -> None:
    recorded = record(two.path)
    with pytest.raises(RestoreError, match=r"no data at 'nothing'.*data/a\.csv, data/images"):
        restore(recorded, ["nothing"])
    with pytest.raises(RestoreError, match="tracks as one"):
        restore(recorded, ["data/images/1.txt"])


def test_out_writes_the_data_elsewhere_and_leaves_the_project(two: Project, tmp_path: Path) -> None:
    first = snapshot(two.path)
    recorded = record(two.path)
    second_version(two)
    second = snapshot(two.path)

    restore(recorded, out=tmp_path / "out")

    assert snapshot(two.path) == second
    data = {name: first[name] for name in first if name.endswith((".csv", ".txt"))}
    assert snapshot(tmp_path / "out") == data
    (tmp_path / "out/data/a.csv").write_text("an edit there does not reach the cache")
    restore(recorded)
    assert snapshot(two.path) == first


def test_out_refuses_to_replace_foreign_files(two: Project, tmp_path: Path) -> None:
    (tmp_path / "out/data").mkdir(parents=True)
    (tmp_path / "out/data/a.csv").write_text("someone else's")
    with pytest.raises(RestoreError, match=r"has other content in data/a\.csv\."):
        restore(record(two.path), out=tmp_path / "out")
    assert (tmp_path / "out/data/a.csv").read_text() == "someone else's"


def test_a_dry_run_touches_nothing_and_says_the_same(two: Project) -> None:
    recorded = record(two.path)
    second_version(two)
    before = snapshot(two.path)
    would = restore(recorded, dry_run=True)
    assert snapshot(two.path) == before
    did = restore(recorded)
    assert (would.modified, would.files) == (did.modified, did.files)
    assert would.undo is None


def test_paths_tracked_today_that_the_run_did_not_have_stay(two: Project) -> None:
    recorded = record(two.path)
    second_version(two)
    two.add("data/new.csv", "new")
    result = restore(recorded)
    assert result.kept == ["data/new.csv"]
    assert (two.path / "data/new.csv").read_text() == "new"
    assert (two.path / "data/new.csv.dvc").exists()
    assert two.data_status() == {}


def test_a_file_where_the_run_had_a_folder_and_the_other_way_round(two: Project) -> None:
    first = snapshot(two.path)
    recorded = record(two.path)
    for name in ("data/a.csv", "data/images"):
        two.dvc("remove", "-q", f"{name}.dvc")
        two.lose(name) if (two.path / name).exists() else None
    two.write("data/a.csv/inner.txt", "x")
    two.add("data/a.csv")
    two.add("data/images", "y")
    restore(recorded)
    assert {k: v for k, v in snapshot(two.path).items() if "gitignore" not in k} == {
        k: v for k, v in first.items() if "gitignore" not in k
    }
    assert two.data_status() == {}


@pytest.mark.versions
def test_an_uncommitted_state_comes_back_from_the_tags_alone(two: Project) -> None:
    second_version(two)
    second = snapshot(two.path)
    recorded = record(two.path)
    run("git", "checkout", "-q", ".", cwd=two.path)
    two.dvc("checkout", "-q")
    result = restore(recorded)
    assert result.source == "manifest"
    assert snapshot(two.path) == second


def test_a_run_without_a_manifest_comes_back_from_its_commit(two: Project) -> None:
    first = snapshot(two.path)
    recorded = record(two.path)
    tags = {key: value for key, value in recorded.tags.items() if key != "dvc.manifest"}
    second_version(two)
    result = restore(type(recorded)(**{**vars(recorded), "tags": tags}))
    assert result.source == "commit"
    assert snapshot(two.path) == first


def test_a_commit_that_says_something_else_is_not_believed(two: Project) -> None:
    second_version(two)
    recorded = record(two.path)
    tags = {key: value for key, value in recorded.tags.items() if key != "dvc.manifest"}
    with pytest.raises(NoRecordedStateError, match="fingerprint"):
        restore(type(recorded)(**{**vars(recorded), "tags": tags}))


def test_in_a_running_stage_nothing_is_restored(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record(two.path)
    monkeypatch.setenv("DVC_STAGE", "train")
    with pytest.raises(RestoreError, match="running stage 'train'"):
        restore(recorded)


def test_while_another_dvc_command_is_at_work_it_is_named(two: Project) -> None:
    recorded = record(two.path)
    second_version(two)
    script = (
        "import sys, time\nfrom dvc.repo import Repo\nrepo = Repo()\n"
        "with repo.lock:\n    print('locked', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], cwd=two.path, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        started = time.monotonic()
        with pytest.raises(Exception, match=rf"process {holder.pid}"):
            restore(recorded)
        assert time.monotonic() - started > 1
    finally:
        holder.kill()
        holder.wait()


def test_executable_files_come_back_executable(two: Project) -> None:
    path = two.write("bin/tool", "#!/bin/sh\n")
    path.chmod(0o755)
    two.add("bin/tool")
    recorded = record(two.path)
    two.add("bin/tool", "other")
    restore(recorded)
    assert os.access(two.path / "bin/tool", os.X_OK)
    assert two.data_status() == {}


def test_a_project_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Project.create(tmp_path / "plain", git=False)
    monkeypatch.chdir(plain.path)
    plain.add("a", "1")
    recorded = record(plain.path)
    plain.add("a", "2")
    restore(recorded)
    assert (plain.path / "a").read_text() == "1"
    assert plain.data_status() == {}


def test_a_project_in_a_sub_folder_of_its_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sub = Project.create(tmp_path / "mono", subdir="ml/one")
    monkeypatch.chdir(sub.path)
    sub.add("a", "1")
    sub.commit()
    recorded = record(sub.path)
    assert recorded.tags["dvc.root"] == "ml/one"
    sub.add("a", "2")
    restore(recorded)
    assert (sub.path / "a").read_text() == "1"
    assert sub.git("status", "--porcelain") == ""


# -- what a restore says -------------------------------------------------------


def said(result: RestoreResult, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints of a restore."""
    capsys.readouterr()
    report(result, as_json=False)
    return capsys.readouterr().out


def test_a_dry_run_shows_the_plan_with_what_is_in_the_way(
    two: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = record(two.path)
    second_version(two)
    two.write("data/a.csv", "edited, never added")
    two.write("data/images/new.txt", "never added")
    before = snapshot(two.path)
    with pytest.raises(UnsavedContentError) as refused:
        restore(recorded)
    would = restore(recorded, dry_run=True)
    assert would.in_the_way == refused.value.paths == ["data/a.csv", "data/images/new.txt"]
    assert would.modified == ["data/a.csv", "data/images"]
    assert would.refusal == str(refused.value)
    assert snapshot(two.path) == before
    capsys.readouterr()
    with pytest.raises(RestoreError, match="--force"):
        report(would, as_json=False)
    out = capsys.readouterr().out
    assert "M  data/a.csv\n" in out
    assert "!  data/a.csv is in the way" in out
    assert "Would change 2 outs" in out
    with pytest.raises(RestoreError):
        report(would, as_json=True)
    assert json.loads(capsys.readouterr().out)["in_the_way"] == would.in_the_way
    forced = restore(recorded, dry_run=True, force=True)
    assert (forced.in_the_way, forced.refusal) == (would.in_the_way, None)


def test_a_dry_run_shows_edited_pipelines_and_data_together(two: Project) -> None:
    pipeline = "stages:\n  s:\n    cmd: cp in m\n    deps: [in]\n    outs: [m]\n"
    two.write("in", "1")
    two.write("dvc.yaml", pipeline)
    two.dvc("repro", "-q")
    two.commit()
    recorded = record(two.path)
    two.write("dvc.yaml", pipeline + "# edited\n")
    two.write("data/a.csv", "edited, never added")
    would = restore(recorded, dry_run=True)
    assert would.in_the_way == ["data/a.csv", "dvc.yaml"]
    with pytest.raises(UnsavedContentError, match=r"data/a\.csv, dvc\.yaml have"):
        restore(recorded)


def test_a_dry_run_into_a_folder_marks_other_content(two: Project, tmp_path: Path) -> None:
    (tmp_path / "out/data").mkdir(parents=True)
    (tmp_path / "out/data/a.csv").write_text("other")
    would = restore(record(two.path), out=tmp_path / "out", dry_run=True)
    assert would.in_the_way == ["data/a.csv"]
    assert "has other content" in str(would.refusal)


def test_a_dry_run_of_undo_shows_what_is_in_the_way(
    two: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = record(two.path)
    second_version(two)
    restore(recorded)
    two.write("data/a.csv", "edited, never added")
    with pytest.raises(SystemExit) as done:
        main(["undo", "--dry-run"])
    out, err = capsys.readouterr()
    assert done.value.code == 1
    assert "!  data/a.csv is in the way" in out
    assert err.startswith("Error: data/a.csv has content that")


def test_nothing_restored_is_no_success(two: Project, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("1")
    two.write("m.json", "{}")
    two.write("dvc.yaml", "stages:\n  s:\n    cmd: 'true'\n    metrics: [m.json: {cache: false}]\n")
    two.dvc("commit", "-q", "-f")
    two.commit()
    recorded = record(two.path)
    # The metric is Git's, and as it was: that is confirmed, whichever way it is found out.
    for _ in range(2):
        same = restore(recorded, ["m.json"])
        assert (same.unchanged, same.verified, same.left) == (["m.json"], 1, [])
        two.write("data/a.csv", "edited")
    with pytest.raises(RestoreError, match=r"Nothing was restored .*m\.json: Git has it"):
        restore(recorded, ["m.json"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_data_restores_nothing(project: Project) -> None:
    project.commit()
    for out in (None, project.path.parent / "out"):
        with pytest.raises(RestoreError, match="recorded no data"):
            restore(record(project.path), out=out)


def test_what_is_not_restored_is_counted(
    two: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("1")
    two.write(
        "dvc.yaml",
        f"stages:\n  s:\n    cmd: 'true'\n    outs: ['{outside}': {{cache: false}}]\n",
    )
    two.dvc("commit", "-q", "-f")
    two.commit()
    recorded = record(two.path)
    left = [f"{outside}: it is outside the project"]
    same = restore(recorded)
    assert same.left == left
    assert "holds the run's data (3 files). Not restored: 1 out." in said(same, capsys)
    second_version(two)
    done = restore(recorded)
    assert done.left == left
    assert "verified by hash. Not restored: 1 out." in said(done, capsys)
