"""What other programs write while a restore is at work is never lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from mlflow_dvc_plugin.errors import RestoreError, UnsavedContentError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring import restore, undo
from mlflow_dvc_plugin.restoring.files import permissions as modes
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project
from tests.record import record, snapshot


class Meanwhile(Progress):
    """Does something in between looking at the workspace and changing it."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work

    def begin(self, what: str, files: int) -> None:  # noqa: ARG002
        if what == "Restoring":
            self._work()


@pytest.fixture
def two(project: Project, request: pytest.FixtureRequest) -> tuple[Project, Run]:
    """A project, and the run of the first of two versions of its data."""
    with project.opened() as repo, repo.config.edit() as config:
        config["cache"]["type"] = getattr(request, "param", "copy")
    for name, text in (("both", "one"), ("first", "one"), ("untouched", "one")):
        project.write(f"d/{name}", text)
    project.add("d")
    project.add("a", "one")
    project.commit()
    run = record(project.path)
    (project.path / "d/first").unlink()
    for name, text in (("both", "two"), ("second", "two")):
        project.write(f"d/{name}", text)
    project.add("d")
    project.add("a", "two")
    project.commit()
    return project, run


@pytest.mark.parametrize(
    ("two", "name"),
    [
        ("copy", "a"),
        ("copy", "d/second"),
        ("copy", "d/first"),
        ("hardlink", "d/both"),
        ("symlink", "d/both"),
    ],
    indirect=["two"],
)
def test_a_file_written_by_another_program_stays(two: tuple[Project, Run], name: str) -> None:
    project, run = two
    before = snapshot(project.path)
    with pytest.raises(RestoreError, match=f"wrote to .*/{name} just now") as err:
        restore(run, progress=Meanwhile(lambda: project.write(name, "new")))
    assert "\n" not in str(err.value)
    assert (project.path / name).read_text() == "new"
    with pytest.raises(UnsavedContentError, match=name):
        restore(run)
    restore(run, force=True)
    assert project.data_status() == {}
    undo()
    assert snapshot(project.path) in ({**before, name: b"new"}, before)


def test_what_was_done_until_then_is_taken_back(two: tuple[Project, Run]) -> None:
    project, run = two
    before = snapshot(project.path)
    with pytest.raises(RestoreError, match="just now"):
        restore(run, progress=Meanwhile(lambda: project.write("a", "new")))
    with pytest.raises(UnsavedContentError, match="a"):
        undo()
    undo(force=True)
    assert snapshot(project.path) == before
    undo()
    assert (project.path / "a").read_text() == "new"


def test_a_metafile_written_by_another_program_stays(two: tuple[Project, Run]) -> None:
    project, run = two
    metafile = project.path / "a.dvc"
    mine = metafile.read_text() + "desc: mine\n"
    with pytest.raises(RestoreError, match=r"wrote to .*/a\.dvc just now"):
        restore(run, progress=Meanwhile(lambda: metafile.write_text(mine)))
    assert metafile.read_text() == mine
    restore(run)
    assert project.data_status() == {}


def test_a_file_deleted_by_another_program_is_no_hindrance(two: tuple[Project, Run]) -> None:
    project, run = two
    restore(run, progress=Meanwhile((project.path / "d/both").unlink))
    assert project.data_status() == {}


def test_an_undo_leaves_what_another_program_wrote(two: tuple[Project, Run]) -> None:
    project, run = two
    restore(run)
    with pytest.raises(RestoreError, match="just now"):
        undo(progress=Meanwhile(lambda: project.write("a", "new")))
    assert (project.path / "a").read_text() == "new"


@pytest.mark.parametrize("two", ["hardlink", "symlink"], indirect=True)
def test_a_file_written_while_its_permissions_change_stays(
    two: tuple[Project, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = two
    tool = project.write("tool", "#!/bin/sh")
    tool.chmod(0o755)
    project.add("tool")
    project.commit()
    run = record(project.path)
    tool.resolve().chmod(0o444)  # the cache's object, as if it were fetched again
    tool.unlink()

    def then_write(source: str, target: str) -> None:
        shutil.copyfile(source, target)
        tool.unlink()
        tool.write_text("new")

    with monkeypatch.context() as patch:
        patch.setattr(modes, "shutil", SimpleNamespace(copyfile=then_write))
        with pytest.raises(RestoreError, match=r"wrote to .*/tool just now"):
            restore(run)
    assert tool.read_text() == "new"
    restore(run, force=True)
    assert tool.read_text() == "#!/bin/sh"
    assert tool.stat().st_mode & 0o100
