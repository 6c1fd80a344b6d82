"""What DVC is told of files is what it would have found out itself."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from dvc_objects.fs.local import localfs

from mlflow_dvc_plugin.capturing.workspace.folders import walk_folder
from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.state.objects import Obj
from tests.project import Project


@pytest.mark.parametrize("batch", [1, 2, 5000])
def test_a_folder_is_claimed_as_dvc_claims_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("mlflow_dvc_plugin.dvc.database._BATCH", batch)
    project.write(".dvcignore", "*.tmp\n")
    for name in ("folder/a", "folder/sub/größe", "folder/left.tmp", "one"):
        project.write(name, name)
    (project.path / "folder/link").symlink_to(project.path / "one")
    (project.path / "folder/broken").symlink_to(project.path / "nothing")
    (project.path / "empty").mkdir()
    with closing(DvcProject(str(project.path))) as dvc, project.opened() as repo:
        for name in ("folder", "empty", "one"):
            path = str(project.path / name)
            walked = walk_folder(str(project.path), name) if name != "one" else ()
            times = {member: info.st_mtime for member, info in walked if info is not None}
            dvc.database.save_link(path, sorted(times.items()))
            ours = repo.state.links[name]
            repo.state.save_link(path, localfs)
            assert ours == repo.state.links[name]


def test_dvc_takes_a_hash_that_it_was_told_for_its_own(project: Project) -> None:
    path = str(project.write("one", "1"))
    obj = Obj.from_bytes(b"1")
    with closing(DvcProject(str(project.path))) as dvc, project.opened() as repo:
        info = os.stat(path)
        assert dvc.database.find_hashes({path: info}) == {}
        dvc.database.save_hashes({path: (obj, info)})
        assert repo.state.get(path, localfs)[1].value == obj.value
        assert dvc.database.find_hashes({path: info}) == {path: obj}
        os.utime(path, (1, 1))
        assert dvc.database.find_hashes({path: os.stat(path)}, writable=False) == {}


def test_a_hash_that_dvc_found_is_known(project: Project) -> None:
    project.add("one", "1")
    path = str(project.path / "one")
    with closing(DvcProject(str(project.path))) as dvc:
        known = dvc.database.find_hashes({path: os.stat(path)}, writable=False)
        assert known == {path: Obj("md5", Obj.from_bytes(b"1").value)}
