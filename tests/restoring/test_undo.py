"""Undo brings back just what was there, whatever was killed, or done by hand, in between."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_dvc_plugin.errors import MlflowDvcError, RestoreError, UnsafePathError
from mlflow_dvc_plugin.errors import UnsavedContentError as Unsaved
from mlflow_dvc_plugin.restoring import checkout, restore, undo
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project
from tests.record import record, snapshot

PIPELINE = "stages:\n  {}:\n    cmd: cp in m\n    deps: [in]\n    outs: [m]\n"

# An object, and the name of the function in it that is not reached.
Instant = tuple[object, str]
at_any_instant = pytest.mark.parametrize(
    "instant",
    [
        (checkout, "write_changes"),
        (checkout, "write_contents"),
        (checkout, "save_out_links"),
    ],
    ids=["data", "metafiles", "links"],
)


def versions(project: Project, *contents: str) -> list[Run]:
    runs = []
    for content in contents:
        project.add("a", content)
        runs.append(record(project.path))
    return runs


def killed(monkeypatch: pytest.MonkeyPatch, instant: Instant, work: Callable[[], object]) -> None:
    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*instant, end)
        with pytest.raises(KeyboardInterrupt):
            work()


def permissions(path: str) -> int:
    return Path(path).stat().st_mode & 0o777


def journal(project: Project) -> Path:
    (found,) = (project.path / ".dvc/tmp/mlflow-dvc/undo").glob("*.json")
    return found


# -- after a kill --------------------------------------------------------------


@at_any_instant
def test_work_between_a_kill_and_an_undo_comes_back(
    project: Project, monkeypatch: pytest.MonkeyPatch, instant: Instant
) -> None:
    first, _ = versions(project, "1", "2")
    killed(monkeypatch, instant, lambda: restore(first))
    project.add("a", "work")
    before = snapshot(project.path)
    undo()
    assert (project.path / "a").read_text() == "2"
    undo()
    assert snapshot(project.path) == before


@at_any_instant
@pytest.mark.parametrize("number", [0, 1])
def test_work_between_a_kill_and_a_restore_comes_back(
    project: Project, monkeypatch: pytest.MonkeyPatch, instant: Instant, number: int
) -> None:
    runs = versions(project, "1", "2", "3")
    killed(monkeypatch, instant, lambda: restore(runs[0]))
    project.add("a", "work")
    before = snapshot(project.path)
    restore(runs[number])
    undo()
    assert snapshot(project.path) == before


@at_any_instant
def test_an_undo_that_was_killed_is_gone_on_with(
    project: Project, monkeypatch: pytest.MonkeyPatch, instant: Instant
) -> None:
    first, _ = versions(project, "1", "2")
    before = snapshot(project.path)
    restore(first)
    after = snapshot(project.path)
    killed(monkeypatch, instant, undo)
    undo()
    assert snapshot(project.path) == before
    undo()
    assert snapshot(project.path) == after


def test_a_killed_restore_leaves_nothing_on_its_way(project: Project) -> None:
    project.write("d/x", "1")
    project.add("d")
    recorded = record(project.path)
    project.write("d/deep/y", "2")
    project.add("d")
    project.write("d/deep/.0123456789abcdef.mlflow-dvc-tmp", "half")
    restore(recorded)
    assert not (project.path / "d/deep").exists()
    assert project.data_status() == {}


# -- permissions ---------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o755, 0o600, 0o444])
def test_permissions_come_back(project: Project, mode: int) -> None:
    first, _ = versions(project, "1", "2")
    (project.path / "a").chmod(mode)
    restore(first)
    undo()
    assert permissions("a") == mode


def test_permissions_of_a_metafile_that_was_deleted_come_back(project: Project) -> None:
    project.add("data/x", "1")
    recorded = record(project.path)
    project.dvc("remove", "-q", "data/x.dvc")
    project.add("data")
    project.commit()
    (project.path / "data.dvc").chmod(0o600)
    restore(recorded)
    assert not (project.path / "data.dvc").exists()
    undo()
    assert permissions("data.dvc") == 0o600
    (project.path / "data.dvc").chmod(0o640)
    undo()
    undo()
    assert permissions("data.dvc") == 0o640


def test_an_unsaved_file_comes_back_writable_in_a_project_with_hard_links(
    project: Project,
) -> None:
    project.dvc("config", "cache.type", "hardlink")
    first, _ = versions(project, "1", "2")
    project.write("a", "mine")
    mode = permissions("a")
    restore(first, force=True)
    undo()
    assert permissions("a") == mode
    assert (project.path / "a").stat().st_nlink == 1


# -- what the record says ------------------------------------------------------


def test_the_last_restore_is_known_though_the_clock_was_set_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = versions(project, "1", "2")
    now = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now() + 10**15)
        for run in (first, second) * 6:
            restore(run)
    project.write("a", "never saved")
    before = snapshot(project.path)
    restore(first, force=True)
    undo()
    assert snapshot(project.path) == before


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "a/../../evil"])
@pytest.mark.parametrize("where", ["files", "metafiles"])
def test_a_record_that_leads_elsewhere_is_refused(project: Project, where: str, path: str) -> None:
    first, _ = versions(project, "1", "2")
    restore(first)
    before = snapshot(project.path.parent)
    document = json.loads(journal(project).read_text())
    document[where][path] = document[where]["a" if where == "files" else "a.dvc"]
    journal(project).write_text(json.dumps(document))
    with pytest.raises(RestoreError, match="leads out of the project"):
        undo()
    assert snapshot(project.path.parent) == before


def test_a_folder_that_became_a_link_is_not_written_through(
    project: Project, tmp_path: Path
) -> None:
    project.write("p/dvc.yaml", PIPELINE.format("s"))
    project.add("p/in", "1")
    project.dvc("repro", "-q", "p/dvc.yaml")
    recorded = record(project.path)
    project.add("p/in", "2")
    project.dvc("repro", "-q", "p/dvc.yaml")
    restore(recorded)
    document = json.loads(journal(project).read_text())
    journal(project).write_text(json.dumps({**document, "files": {}}))
    shutil.move(project.path / "p", tmp_path / "elsewhere")
    (project.path / "p").symlink_to(tmp_path / "elsewhere")
    before = snapshot(tmp_path / "elsewhere")
    with pytest.raises(UnsafePathError):
        undo()
    assert snapshot(tmp_path / "elsewhere") == before


# -- people's own files --------------------------------------------------------


def test_a_pipeline_that_was_edited_since_is_named_and_left(project: Project) -> None:
    project.write("dvc.yaml", PIPELINE.format("s"))
    project.add("in", "1")
    project.dvc("repro", "-q")
    project.commit()
    recorded = record(project.path)
    project.write("dvc.yaml", PIPELINE.format("t"))
    project.add("in", "2")
    project.dvc("repro", "-q")
    project.commit()
    before = snapshot(project.path)
    restore(recorded)
    edited = (project.path / "dvc.yaml").read_text() + "# an hour of work\n"
    (project.path / "dvc.yaml").write_text(edited)
    with pytest.raises(Unsaved, match=r"dvc\.yaml"):
        undo()
    assert (project.path / "dvc.yaml").read_text() == edited
    undo(force=True)
    assert snapshot(project.path) == before
    undo()
    assert (project.path / "dvc.yaml").read_text() == edited


def test_a_metafile_that_is_a_link_is_left(project: Project) -> None:
    project.write("dvc.yaml", PIPELINE.format("s"))
    project.add("in", "1")
    project.dvc("repro", "-q")
    recorded = record(project.path)
    project.add("in", "2")
    project.dvc("repro", "-q")
    (project.path / "dvc.lock").rename(project.path / "shared.lock")
    (project.path / "dvc.lock").symlink_to("shared.lock")
    before = snapshot(project.path)
    with pytest.raises(UnsafePathError, match=r"dvc\.lock"):
        restore(recorded, force=True)
    assert snapshot(project.path) == before
    assert (project.path / "dvc.lock").is_symlink()


@pytest.mark.parametrize("what", ["link", "repository"])
def test_a_folder_that_cannot_be_put_back_whole_is_left(
    project: Project, tmp_path: Path, what: str
) -> None:
    (recorded,) = versions(project, "1")
    project.dvc("remove", "-q", "a.dvc")
    (project.path / "a").unlink()
    project.write("a/mine", "mine")
    if what == "link":
        (tmp_path / "elsewhere").mkdir()
        (project.path / "a/link").symlink_to(tmp_path / "elsewhere")
    else:
        project.git("init", "-q", "a")
    before = sorted(project.path.rglob("*"))
    with pytest.raises(UnsafePathError):
        restore(recorded, force=True)
    assert [p for p in sorted(project.path.rglob("*")) if ".dvc" not in p.parts] == [
        p for p in before if ".dvc" not in p.parts
    ]


def test_a_link_into_a_lost_cache_goes_where_the_run_had_nothing(
    project: Project, tmp_path: Path
) -> None:
    project.dvc("config", "cache.type", "symlink")
    project.remote(tmp_path / "remote")
    project.write("d/x", "1")
    project.add("d")
    project.push()
    recorded = record(project.path)
    project.write("d/y", "2")
    project.add("d")
    shutil.rmtree(project.path / ".dvc/cache")
    restore(recorded)
    assert not os.path.lexists("d/y")
    assert project.data_status() == {}
    undo()
    assert (project.path / "d/y").is_symlink()


def test_out_is_not_in_what_dvc_tracks(project: Project) -> None:
    project.write("d/x", "1")
    project.add("d")
    recorded = record(project.path)
    for out in ("d", "d/deep"):
        with pytest.raises(MlflowDvcError, match="DVC tracks"):
            restore(recorded, out=out)
    assert project.data_status() == {}
