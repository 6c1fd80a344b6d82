"""A run whose data is only in a remote: its project is gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.history import History
from tests.project import Project

FILES = {
    "data/raw.csv": b"a,b\n1,2\n3,4\n",
    "data/images/1.txt": b"one",
    "data/images/2.txt": b"one",
    "data/images/sub/größe": b"two",
    "model.bin": bytes(range(256)) * 40,
}


class Stored(NamedTuple):
    """A run, the hash of each out, and the folder of the remote that has its data."""

    run_id: str
    hashes: dict[str, str]
    remote: Path


@pytest.fixture
def clone(history: History) -> Project:
    """A project that has the files."""
    project = Project(history.project)
    for name, content in FILES.items():
        project.write(name, content)
    for out in ("data/raw.csv", "data/images", "model.bin"):
        project.add(out)
    project.write("metrics.json", "{}")
    project.push()
    project.commit()
    return project


@pytest.fixture
def stored(
    clone: Project, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stored:
    """A run; the working directory is empty, and MLFLOW_DVC_URL names the remote."""
    run_id = history.run()
    with clone.opened() as repo:
        hashes = {
            str(Path(out.fs_path).relative_to(clone.path)): out.hash_info.value
            for out in repo.index.outs
        }
    shutil.rmtree(clone.path)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("MLFLOW_DVC_URL", str(tmp_path / "remote"))
    return Stored(run_id, hashes, tmp_path / "remote")
