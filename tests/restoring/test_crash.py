"""A restore that is killed, or that the disk or the remote lets down, loses nothing."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.dvc.transfer.remotes import Remotes
from mlflow_dvc_plugin.errors import MissingObjectsError, MlflowDvcError
from mlflow_dvc_plugin.restoring import restore, undo
from mlflow_dvc_plugin.tracking import Run
from tests.effort import bounded
from tests.forks import ended, forked
from tests.project import Project
from tests.record import record, snapshot

FILES = bounded(400, 2000)
LARGE = bounded(8, 32) * 1024 * 1024
KILLS = bounded(4, 100)


def fill(project: Project, version: bytes) -> None:
    folder = project.path / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    for number in range(FILES):
        target = folder / str(number % 20) / f"{number}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        # Some files are in both versions, some in one alone.
        own = b"" if number % 5 == 0 else version
        if number % 7 != len(version):
            target.write_bytes(b"%d " % number + own)
    project.add("folder")
    project.add("large.bin", version * (LARGE // len(version)))


def data(project: Project) -> dict[str, bytes]:
    return {k: v for k, v in snapshot(project.path).items() if k.startswith(("folder/", "large"))}


@pytest.mark.slow
@pytest.mark.timeout(600 + 60 * KILLS)
@pytest.mark.parametrize("link", ["copy", "hardlink"])
def test_a_restore_killed_at_any_instant_leaves_whole_files(project: Project, link: str) -> None:
    project.dvc("config", "cache.type", link)
    fill(project, b"first")
    runs: list[tuple[Run, dict[str, bytes]]] = [(record(project.path), data(project))]
    fill(project, b"other!")
    runs.append((record(project.path), data(project)))
    started = time.monotonic()
    assert ended(forked(lambda: restore(runs[0][0]))) == 0
    whole = time.monotonic() - started
    assert data(project) == runs[0][1]

    killed = 0
    for number in range(KILLS):
        (run, new), (_, old) = runs[(number + 1) % 2], runs[number % 2]
        pid = forked(lambda run=run: restore(run))  # type: ignore[misc]
        time.sleep(whole * (number + 0.5) / KILLS)
        os.kill(pid, signal.SIGKILL)
        killed += ended(pid) == -signal.SIGKILL
        for name, content in data(project).items():
            if "mlflow-dvc-tmp" not in name:
                assert content in (old.get(name), new.get(name)), name
        restore(run)
        assert data(project) == new
        assert project.data_status() == {}
    # On a machine that is now quicker than it was, some end before they are killed.
    assert killed
    leftovers = list(project.path.rglob("*mlflow-dvc-tmp*"))
    assert leftovers == []


def test_a_full_disk_is_one_sentence_and_a_second_run_completes(project: Project) -> None:
    project.add("a.bin", b"a" * 3_000_000)
    recorded = record(project.path)
    project.add("a.bin", b"b" * 3_000_000)
    before = snapshot(project.path)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with pytest.raises(MlflowDvcError, match=r"too large|run the same command again"):
            restore(recorded)

    assert ended(forked(limited)) == 0
    assert snapshot(project.path) == before
    restore(recorded)
    assert (project.path / "a.bin").read_bytes() == b"a" * 3_000_000


def test_a_cache_that_cannot_be_written_to_is_one_sentence(
    project: Project, tmp_path: Path
) -> None:
    project.remote(tmp_path / "remote")
    project.add("a", "1")
    project.push()
    recorded = record(project.path)
    project.add("a", "2")
    # Root writes wherever it wants to, but not into a folder that is a file.
    cache = project.path / ".dvc/cache/mlflow-dvc"
    cache.write_text("")
    shutil.rmtree(project.path / ".dvc/cache/files/md5/c4")
    before = snapshot(project.path)
    with pytest.raises(MlflowDvcError, match="cannot be written to") as err:
        restore(recorded)
    assert "\n" not in str(err.value)
    assert snapshot(project.path) == before


@contextmanager
def mounted(where: Path, *options: str) -> Iterator[None]:
    """A file system at a folder, for those who may mount one."""
    if subprocess.run(["mount", *options, str(where)], check=False).returncode:
        pytest.skip("only root mounts file systems")
    try:
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True)


def test_a_cache_that_is_only_for_reading_is_enough(project: Project) -> None:
    project.add("a", "1")
    recorded = record(project.path)
    project.add("a", "2")
    cache = project.path / ".dvc/cache"
    with mounted(cache, "--bind", str(cache)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(cache)], check=True)
        restore(recorded)
        assert project.data_status() == {}
        undo()
        assert (project.path / "a").read_text() == "2"


def test_a_full_disk_of_the_cache_is_said(project: Project, tmp_path: Path) -> None:
    project.remote(tmp_path / "remote")
    project.add("a", b"1" * 3_000_000)
    project.push()
    recorded = record(project.path)
    project.lose()
    project.add("a", "2")
    before = snapshot(project.path)
    with mounted(project.path / ".dvc/cache", "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        project.add("a")
        with pytest.raises(MlflowDvcError, match="is full: make room"):
            restore(recorded)
    assert snapshot(project.path) == before


def test_a_remote_that_dies_half_way_leaves_the_workspace(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.remote(tmp_path / "remote")
    for number in range(20):
        project.write(f"folder/{number}", f"first {number}")
    project.add("folder")
    project.push()
    recorded = record(project.path)
    for number in range(20):
        project.write(f"folder/{number}", f"second {number}")
    project.add("folder")
    shutil.rmtree(project.path / ".dvc/cache")
    before = snapshot(project.path)
    calls = iter(range(1000))
    fetch = Remotes.fetch

    def dying(self: Remotes, *args: Any, **kwargs: Any) -> Any:
        if next(calls):
            shutil.rmtree(tmp_path / "remote", ignore_errors=True)
        return fetch(self, *args, **kwargs)

    # The folder's listing still arrives; then the remote is gone.
    monkeypatch.setattr(Remotes, "fetch", dying)
    with pytest.raises(MissingObjectsError, match=r"folder/0 .*and 0 more|folder/0"):
        restore(recorded)
    assert snapshot(project.path) == before


@pytest.mark.slow
def test_undo_after_a_kill_brings_everything_back(project: Project) -> None:
    fill(project, b"first")
    recorded = record(project.path)
    fill(project, b"other!")
    before = snapshot(project.path)
    pid = forked(lambda: restore(recorded))
    while not list((project.path / ".dvc/tmp").rglob("undo/*.json")):
        time.sleep(0.005)
    time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    undo()
    now = {k: v for k, v in snapshot(project.path).items() if "mlflow-dvc-tmp" not in k}
    assert now == before


@pytest.mark.slow
def test_many_at_once_share_a_cache_and_all_end_well(project: Project, tmp_path: Path) -> None:
    project.remote(tmp_path / "remote")
    for number in range(50):
        project.write(f"folder/{number}", str(number))
    project.add("folder")
    project.push()
    expected = data(project)
    recorded = record(project.path)
    shutil.rmtree(project.path / ".dvc/cache")
    out = [tmp_path / f"out{number}" for number in range(16)]
    pids = [forked(lambda where=where: restore(recorded, out=where)) for where in out]  # type: ignore[misc]
    assert [ended(pid) for pid in pids] == [0] * len(out)
    for where in out:
        assert snapshot(where) == expected
