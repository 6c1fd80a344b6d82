"""What a remote has gets into the cache if it is what its name says, and only then."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from hashlib import md5
from pathlib import Path

from mlflow_dvc_plugin.dvc.project import DvcProject
from mlflow_dvc_plugin.dvc.transfer.counters import FileHasher
from mlflow_dvc_plugin.progress import Progress
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


def test_a_file_is_hashed_while_it_is_written(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    for order, expected in (((0, 1, 2), True), ((2, 1, 0), False)):
        path = tmp_path / str(order)
        with path.open("wb", buffering=0) as file:
            file.truncate(len(content))
            hasher = FileHasher(str(path), Progress())
            for number in order:
                file.seek(number * 1_000_000)
                file.write(content[number * 1_000_000 :][:1_000_000])
                hasher.relative_update(1_000_000)
                time.sleep(0.1)
        # Bytes in another order are told from the right ones, and then the file is read again.
        assert (hasher.finish() == md5(content).hexdigest()) is expected
