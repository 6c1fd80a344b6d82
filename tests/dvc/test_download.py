"""What a remote has gets into the cache if it is what its name says, and only then."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.state.objects import Obj
from tests.project import Project


def test_only_what_is_right_gets_into_the_cache(project: Project, tmp_path: Path) -> None:
    project.remote(tmp_path / "remote")
    objs: list[Obj] = []
    for number in range(120):
        project.write(f"folder/{number}", str(number))
        objs.append(Obj.from_bytes(str(number).encode()))
    project.add("folder")
    project.push()
    shutil.rmtree(project.path / ".dvc/cache")
    far = [tmp_path / f"remote/files/md5/{obj.value[:2]}/{obj.value[2:]}" for obj in objs]
    far[3].chmod(0o644)
    far[3].write_text("of someone else")
    far[7].unlink()
    with closing(DvcProject(str(project.path))) as dvc:
        assert dvc.remotes.fetch(objs) == {
            objs[3]: "the remote has other bytes under this hash",
            objs[7]: "not in the remote",
        }
        right = [obj for obj in objs if obj not in (objs[3], objs[7])]
        assert [obj for obj in objs if os.path.exists(dvc.cache.path(obj))] == right
        infos = {dvc.cache.path(obj): os.stat(dvc.cache.path(obj)) for obj in right}
        assert {info.st_mode & 0o777 for info in infos.values()} == {0o444}
        # Nobody has to read them again to believe it.
        known = dvc.database.find_hashes(infos, writable=False)
        assert known == {dvc.cache.path(obj): obj for obj in right}
    assert not (project.path / ".dvc/cache/mlflow-dvc").exists()
