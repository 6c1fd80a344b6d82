"""Restore into a project that is no longer as it was, and undo of every step."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from mlflow_dvc_plugin.cli import main
from mlflow_dvc_plugin.cli.restoring.restore import report
from mlflow_dvc_plugin.errors import RestoreError, UnsavedContentError
from mlflow_dvc_plugin.restoring import list_undo_records, restore, undo
from mlflow_dvc_plugin.state import manifest
from mlflow_dvc_plugin.state.tags import read_manifest_parts
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project, run
from tests.record import record, snapshot


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines that a command of `mlflow-dvc` prints."""
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 0
    return capsys.readouterr().out.splitlines()


def versions(project: Project, *texts: str) -> list[Run]:
    """A run for each content of ``a``."""
    found = []
    for text in texts:
        project.add("a", text)
        found.append(record(project.path))
    return found


def executable(project: Project, name: str) -> bool:
    return bool((project.path / name).stat().st_mode & 0o100)


def without_metafiles(recorded: Run) -> Run:
    """The run, had its metafiles been too large for the tags, and its commit rebased away."""
    state = manifest.parse(read_manifest_parts(recorded.tags))._replace(metafiles={})
    tags = {k: v for k, v in recorded.tags.items() if not k.startswith("dvc.manifest")}
    return replace(
        recorded,
        tags={**tags, "dvc.manifest": manifest.dump(state)[0], "dvc.git_commit": "0" * 40},
    )


# -- undo ------------------------------------------------------------------


def test_undo_goes_back_before_any_restore_that_is_kept(project: Project) -> None:
    first, second = versions(project, "1", "2")
    project.write("a", "never saved")
    before = snapshot(project.path)
    forced = restore(first, force=True)
    restore(second)
    undo()
    assert (project.path / "a").read_text() == "1"
    assert forced.undo is not None
    undo(forced.undo)
    assert snapshot(project.path) == before
    undo()
    assert (project.path / "a").read_text() == "1"


def test_undo_of_a_record_takes_back_what_came_after_it(project: Project) -> None:
    project.add("b", "b1")
    first, second = versions(project, "1", "2")
    project.add("b", "b2")
    third = record(project.path)
    before = snapshot(project.path)
    oldest = restore(first, ["a"])
    restore(first, ["b"])
    restore(second, ["a"])
    restore(third)
    restore(first)
    undo(oldest.undo)
    assert snapshot(project.path) == before
    assert project.data_status() == {}


def test_the_records_that_can_be_taken_back_are_told(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nothing to undo" in command(capsys, "undo", "--list")[0]
    first, _ = versions(project, "1", "2")
    done = restore(first)
    undo()
    records = list_undo_records()
    assert [r.is_undo for r in records] == [True, False]
    assert records[1].record_id == done.undo
    lines = command(capsys, "undo", "--list")
    assert len(lines) == 2
    assert str(done.undo) in lines[1]
    assert "restore of" in lines[1]
    assert "undo of" in lines[0]
    command(capsys, "undo", str(done.undo))
    assert (project.path / "a").read_text() == "2"
    assert "as it was before that restore" in command(capsys, "undo", str(done.undo))[0]


def test_a_record_that_is_not_kept_is_one_sentence(project: Project) -> None:
    first, second = versions(project, "1", "2")
    done = restore(first)
    for _ in range(5):
        restore(second)
        restore(first)
    assert len(list_undo_records()) == 10
    with pytest.raises(RestoreError, match="--list"):
        undo(done.undo)


# -- symbolic links that people made ---------------------------------------


def test_a_link_to_saved_content_comes_back_as_a_link(project: Project, tmp_path: Path) -> None:
    first, _ = versions(project, "1", "2")
    (tmp_path / "elsewhere").write_text("2")
    (project.path / "a").unlink()
    (project.path / "a").symlink_to(tmp_path / "elsewhere")
    restore(first)
    assert not (project.path / "a").is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "2"
    undo()
    assert os.readlink(project.path / "a") == str(tmp_path / "elsewhere")
    undo()
    assert (project.path / "a").read_text() == "1"
    assert not (project.path / "a").is_symlink()


@pytest.mark.parametrize("content", [None, "content that nothing else has"])
def test_a_link_to_unsaved_content_or_nowhere_is_in_the_way(
    project: Project, tmp_path: Path, content: str | None
) -> None:
    first, _ = versions(project, "1", "2")
    if content is not None:
        (tmp_path / "elsewhere").write_text(content)
    (project.path / "a").unlink()
    (project.path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsavedContentError):
        restore(first)
    assert (project.path / "a").is_symlink()
    restore(first, force=True)
    assert (project.path / "a").read_text() == "1"
    undo()
    assert os.readlink(project.path / "a") == str(tmp_path / "elsewhere")
    with pytest.raises(UnsavedContentError):
        undo()
    undo(force=True)
    assert (project.path / "a").read_text() == "1"


def test_a_link_in_a_tracked_folder_comes_back(project: Project, tmp_path: Path) -> None:
    project.write("d/x", "1")
    project.write("d/y", "y")
    project.add("d")
    first = record(project.path)
    project.write("d/x", "2")
    project.add("d")
    (tmp_path / "elsewhere").write_text("2")
    (project.path / "d/x").unlink()
    (project.path / "d/x").symlink_to("../../elsewhere")
    assert (project.path / "d/x").read_text() == "2"
    restore(first)
    assert (project.path / "d/x").read_text() == "1"
    undo()
    assert os.readlink(project.path / "d/x") == "../../elsewhere"


def test_dvcs_own_links_into_a_lost_cache_are_nobodys_work(project: Project) -> None:
    project.dvc("config", "cache.type", "symlink")
    project.remote(project.path.parent / "remote")
    first, _ = versions(project, "1", "2")
    project.push()
    project.lose()
    assert (project.path / "a").is_symlink()
    project.git("add", "-A")
    with pytest.raises(RestoreError, match="not in the remote"):
        restore(first)
    again = record(project.path)
    restore(again)
    assert (project.path / "a").read_text() == "2"
    assert project.data_status() == {}


# -- executable files ------------------------------------------------------


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_an_executable_makes_no_other_file_of_its_bytes_one(project: Project, link: str) -> None:
    project.write("tool", "#!/bin/sh\n").chmod(0o755)
    project.add("tool")
    recorded = record(project.path)
    project.add("tool", "other")
    project.dvc("config", "cache.type", link)
    project.write("d/same", "#!/bin/sh\n")
    project.add("d")
    project.add("same", "#!/bin/sh\n")
    before = {name: executable(project, name) for name in ("same", "d/same", "tool")}
    restore(recorded)
    assert executable(project, "tool")
    assert project.data_status() == {}
    assert not executable(project, "same")
    assert not executable(project, "d/same")
    undo()
    assert {name: executable(project, name) for name in before} == before
    undo()
    assert executable(project, "tool")


def test_undo_takes_back_the_executable_bit_alone(project: Project) -> None:
    project.write("tool", "#!/bin/sh\n").chmod(0o755)
    project.add("tool")
    recorded = record(project.path)
    (project.path / "tool").chmod(0o644)
    assert restore(recorded).modified == ["tool"]
    assert executable(project, "tool")
    undo()
    assert not executable(project, "tool")


def test_a_link_to_what_the_run_had_stays_a_link(project: Project, tmp_path: Path) -> None:
    project.add("a", "1")
    recorded = record(project.path)
    (tmp_path / "elsewhere").write_text("1")
    (tmp_path / "elsewhere").chmod(0o755)
    (project.path / "a").unlink()
    (project.path / "a").symlink_to(tmp_path / "elsewhere")
    restore(recorded)
    assert (project.path / "a").is_symlink()
    assert os.access(tmp_path / "elsewhere", os.X_OK)


# -- metafiles -------------------------------------------------------------


def test_variables_from_another_folder_are_read(project: Project) -> None:
    project.write("conf/names.yaml", "name: out\n")
    project.write("shared.json", '{"dir": "made"}')
    project.write(
        "p/dvc.yaml",
        "vars: [../conf/names.yaml]\nstages:\n  s:\n    vars: [../shared.json]\n"
        "    cmd: mkdir -p ${dir} && cp ../in ${dir}/${name}\n    deps: [../in]\n"
        "    outs: ['${dir}/${name}']\n",
    )
    project.add("in", "1")
    project.dvc("repro", "-q", "p/dvc.yaml")
    project.commit()
    first, recorded = snapshot(project.path), record(project.path)
    project.add("in", "2")
    project.dvc("repro", "-q", "p/dvc.yaml")
    project.commit()
    second = snapshot(project.path)
    for each in (recorded, without_metafiles(recorded)):
        restore(each)
        assert snapshot(project.path)["p/made/out"] == first["p/made/out"] == b"1"
        assert project.data_status() == {}
        undo()
        assert snapshot(project.path) == second


def test_variables_from_above_the_project_leave_nothing_behind(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    # Somebody else's file, where scratch folders are, is not the project's.
    (scratch / "names.yaml").write_text("name: other\n")
    (tmp_path / "names.yaml").write_text("name: out\n")
    project.write(
        "dvc.yaml",
        "vars: [../names.yaml]\nstages:\n  s:\n    cmd: cp in ${name}\n    deps: [in]\n"
        "    outs: ['${name}']\n",
    )
    project.add("in", "1")
    project.dvc("repro", "-q")
    recorded = record(project.path)
    project.add("in", "2")
    project.dvc("repro", "-q")
    restore(recorded)
    assert (project.path / "out").read_text() == "1"
    assert project.data_status() == {}
    assert [path.name for path in scratch.iterdir()] == ["names.yaml"]


def test_variables_that_only_dvc_can_read_are_brought_to_it(project: Project) -> None:
    project.write("conf/names.toml", 'name = "out"\n')
    project.write(
        "p/dvc.yaml",
        "vars: [../conf/names.toml]\nstages:\n  s:\n    cmd: cp ../in ${name}\n"
        "    deps: [../in]\n    outs: ['${name}']\n",
    )
    project.add("in", "1")
    project.dvc("repro", "-q", "p/dvc.yaml")
    recorded = record(project.path)
    project.add("in", "2")
    project.dvc("repro", "-q", "p/dvc.yaml")
    restore(recorded)
    assert (project.path / "p/out").read_text() == "1"
    assert project.data_status() == {}


def test_outs_of_like_name_in_one_stage_are_told_apart(project: Project) -> None:
    project.write(
        "dvc.yaml",
        "stages:\n  s:\n    wdir: sub\n    deps: [../in]\n    outs: [x, sub/x]\n"
        "    cmd: mkdir -p sub && cp ../in x && cp ../in sub/x && echo more >> sub/x\n",
    )
    (project.path / "sub").mkdir()
    project.add("in", "1\n")
    project.dvc("repro", "-q")
    recorded = without_metafiles(record(project.path))
    project.add("in", "2\n")
    project.dvc("repro", "-q")
    restore(recorded, ["sub/sub/x"])
    assert (project.path / "sub/sub/x").read_text() == "1\nmore\n"
    assert (project.path / "sub/x").read_text() == "2\n"
    assert project.data_status() == {}
    restore(recorded)
    assert (project.path / "sub/x").read_text() == "1\n"
    assert project.data_status() == {}


@pytest.mark.parametrize("link", ["copy", "hardlink"])
def test_a_folder_that_is_now_tracked_file_by_file(project: Project, link: str) -> None:
    project.dvc("config", "cache.type", link)
    project.write("data/a", "1")
    project.write("data/b", "2")
    project.add("data")
    project.commit()
    recorded, first = record(project.path), snapshot(project.path)
    project.dvc("remove", "-q", "data.dvc")
    project.add("data/a")
    project.add("data/b")
    project.commit()
    before = snapshot(project.path)
    modes = {name: (project.path / name).stat().st_mode for name in before}
    restore(recorded)
    assert snapshot(project.path) == first
    assert project.data_status() == {}
    undo()
    assert snapshot(project.path) == before
    assert {name: (project.path / name).stat().st_mode for name in before} == modes


def test_a_folder_alone_that_is_now_tracked_file_by_file(project: Project) -> None:
    project.write("data/a", "1")
    project.add("data")
    project.add("b", "1")
    project.commit()
    recorded = without_metafiles(record(project.path))
    project.dvc("remove", "-q", "data.dvc")
    project.add("data/a")
    project.add("data/z", "2")
    project.add("b", "2")
    project.commit()
    before = snapshot(project.path)
    restore(recorded, ["data"])
    assert (project.path / "data.dvc").exists()
    assert [p.name for p in (project.path / "data").iterdir()] == ["a"]
    assert (project.path / "b").read_text() == "2"
    assert project.data_status() == {}
    undo()
    assert snapshot(project.path) == before


@pytest.mark.parametrize("first", ["a", "a/x", "a/b/x"])
def test_a_file_where_files_of_their_own_are_tracked_now(project: Project, first: str) -> None:
    second = "a/x" if first == "a" else "a"
    project.add(first, "1")
    project.commit()
    recorded = record(project.path)
    with project.opened() as repo:
        repo.remove(f"{first}.dvc")
    shutil.rmtree("a") if os.path.isdir("a") else os.unlink("a")
    project.commit()
    project.add(second, "2")
    project.commit()
    before = snapshot(project.path)
    restore(recorded)
    assert (project.path / first).read_text() == "1"
    # DVC cannot ask for the status of a file that Git has as a folder.
    project.git("add", "-A")
    assert project.data_status() == {}
    after = snapshot(project.path)
    undo()
    assert snapshot(project.path) == before
    undo()
    assert snapshot(project.path) == after


def test_files_that_are_now_one_folder(project: Project) -> None:
    project.add("data/a", "1")
    project.add("data/b", "2")
    project.commit()
    recorded, first = record(project.path), snapshot(project.path)
    for name in ("a", "b"):
        project.dvc("remove", "-q", f"data/{name}.dvc")
    project.git("add", "-A")
    project.write("data/c", "3")
    (project.path / "data/.gitignore").unlink(missing_ok=True)
    project.git("rm", "-rq", "--cached", "--ignore-unmatch", "data")
    project.add("data")
    project.commit()
    before = snapshot(project.path)
    restore(recorded)
    now = snapshot(project.path)
    assert {name: now.get(name) for name in first} == first
    assert now["data/c"] == b"3"
    assert project.data_status() == {}
    undo()
    assert snapshot(project.path) == before


def test_members_that_dvcignore_leaves_out_today_are_refused(project: Project) -> None:
    project.write("d/x", "1")
    project.write("d/deep/x.log", "2")
    project.add("d")
    recorded = record(project.path)
    project.write(".dvcignore", "*.log\n")
    project.write("d/x", "3")
    project.add("d")
    before = snapshot(project.path)
    with pytest.raises(RestoreError, match=r"\.dvcignore excludes d/deep/x\.log"):
        restore(recorded)
    assert snapshot(project.path) == before
    out = project.path.parent / "out"
    restore(recorded, out=out)
    assert (out / "d/deep/x.log").read_text() == "2"


def test_line_ends_that_git_converts_are_no_unsaved_work(project: Project) -> None:
    project.write(".gitattributes", "*.yaml text eol=crlf\n*.lock text eol=crlf\n")
    project.write("dvc.yaml", "stages:\n  s:\n    cmd: cp in m\n    deps: [in]\n    outs: [m]\n")
    project.add("in", "1")
    project.dvc("repro", "-q")
    project.commit()
    for name in ("dvc.yaml", "dvc.lock"):
        (project.path / name).unlink()
    project.git("checkout", "-q", ".")
    assert b"\r\n" in (project.path / "dvc.yaml").read_bytes()
    recorded = record(project.path)
    project.add("in", "2")
    project.dvc("repro", "-q")
    project.commit()
    restore(replace(recorded, tags={k: v for k, v in recorded.tags.items() if "manifest" not in k}))
    assert (project.path / "m").read_text() == "1"
    assert project.data_status() == {}


def test_data_that_was_edited_when_the_run_started_is_told(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add("a", "1")
    project.add("b", "1")
    project.write("a", "edited, and never added")
    recorded = record(project.path)
    assert recorded.tags["dvc.modified"] == "a"
    project.add("a", "2")
    done = restore(recorded)
    assert done.differed == ["a"]
    assert (project.path / "a").read_text() == "1"
    report(done, as_json=False)
    assert "The run itself read other content, which was never added to DVC, from: a." in (
        capsys.readouterr().out
    )


# -- places ----------------------------------------------------------------


def test_a_path_through_a_link_to_the_project(
    project: Project, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add("d/a", "1")
    project.add("d/b", "1")
    run_id = MlflowClient(store).create_run("0", tags=record(project.path).tags).info.run_id
    project.add("d/a", "2")
    project.add("d/b", "2")
    link = tmp_path / "link"
    link.symlink_to(project.path)
    command(capsys, "restore", run_id, str(link / "d/a"), "--tracking-uri", store)
    assert (project.path / "d/a").read_text() == "1"
    assert (project.path / "d/b").read_text() == "2"


def test_a_worktree_of_a_submodule_is_refused_in_one_sentence(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("a", "1")
    project.commit()
    above = tmp_path / "above"
    above.mkdir()
    run("git", "init", "-q", cwd=above)
    allow = ("-c", "protocol.file.allow=always")
    run("git", *allow, "submodule", "add", "-q", str(project.path), "sub", cwd=above)
    inside = Project(above / "sub")
    monkeypatch.chdir(inside.path)
    inside.add("a", "1")
    recorded = record(inside.path)
    inside.add("a", "2")
    with pytest.raises(RestoreError, match="submodule"):
        restore(recorded, worktree=tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    restore(recorded)
    assert (inside.path / "a").read_text() == "1"
    assert inside.git("status", "--porcelain") == ""


def test_a_project_whose_path_is_not_ascii_shares_its_cache_with_a_worktree(
    tmp_path: Path,
) -> None:
    project = Project.create(tmp_path / "Größe, #1")
    project.add("a", "1")
    project.commit()
    recorded = record(project.path)
    restore(recorded, worktree=tmp_path / "tree", project=str(project.path))
    assert (tmp_path / "tree/a").read_text() == "1"
    assert Project(tmp_path / "tree").data_status() == {}
