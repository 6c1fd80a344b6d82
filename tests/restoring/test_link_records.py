"""What a restore brings back is DVC's to clean up, unless people change it first."""

from __future__ import annotations

import pytest
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project
from tests.record import record


@pytest.fixture(params=["copy", "hardlink", "symlink"])
def changed(project: Project, request: pytest.FixtureRequest) -> tuple[Project, Run]:
    """A project whose data is another one by now, and the run of the first."""
    with project.opened() as repo, repo.config.edit() as config:
        config["cache"]["type"] = request.param
    project.write(".dvcignore", "*.tmp\n")
    for name in ("changed", "gone", "untouched", "sub/größe", "to/nested"):
        project.write(f"d/{name}", name)
    project.write("d0", "beside it, in the order of paths")
    project.write("d.old/file", "too")
    project.write("tool", "#!/bin/sh").chmod(0o755)
    for name in ("d", "d0", "d.old", "tool"):
        project.add(name)
    project.commit()
    run = record(project.path)
    project.dvc("unprotect", "d", "tool")
    (project.path / "d/gone").unlink()
    project.write("d/changed", "differs")
    project.write("d/more/new", "new")
    project.add("d")
    project.add("tool", "#!/bin/bash")
    project.write("d/left.tmp", "left out")
    project.commit()
    return project, run


def test_outs_are_claimed_as_dvc_claims_them(changed: tuple[Project, Run]) -> None:
    project, run = changed
    restore(run)
    assert (project.path / "d/left.tmp").exists()
    with project.opened() as repo:
        for name in ("d", "d0", "d.old", "tool"):
            ours = repo.state.links[name]
            repo.state.save_link(str(project.path / name), localfs)
            assert ours == repo.state.links[name], name


class Writes(Progress):
    """A person who goes on working on a file that stays as it is."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def begin(self, what: str, files: int) -> None:  # noqa: ARG002
        if what == "Restoring":
            (self._project.path / "d/untouched").unlink()
            self._project.write("d/untouched", "work")


def test_dvc_does_not_clean_up_what_was_written_meanwhile(changed: tuple[Project, Run]) -> None:
    project, run = changed
    restore(run, progress=Writes(project))
    (project.path / "d.dvc").unlink()
    with project.opened() as repo:
        used = [str(project.path / name) for name in ("d0", "d.old", "tool")]
        assert repo.state.get_unused_links(used, localfs) == []
        repo.state.save_link(str(project.path / "d"), localfs)
        assert repo.state.get_unused_links(used, localfs) == ["d"]
    assert (project.path / "d/untouched").read_text() == "work"
