"""Lives of a project whose runs save their data: kills, full disks, crowds, and random steps."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.tracking import Run
from tests.effort import bounded
from tests.forks import ended, forked
from tests.project import Project
from tests.record import record_saved
from tests.restoring.test_crash import mounted

LIVES = bounded(3, 60)
STEPS = 12
KILLS = bounded(6, 50)
FILES = bounded(300, 2000)
PATTERNS = ("raw/**", "loose/*")
NAMES = ("a", "b", "sub/c", "sub/deep/d", "é", "日本", "with space", "empty", "x.tmp")

# Every file below a path: its bytes; for an out that is a file, whether it is executable.
Tree = dict[str, tuple[bytes, bool]]


def look(folder: Path, tops: tuple[str, ...] = ("file", "data", "raw", "loose")) -> Tree:
    """What is there, by another walk than the plugin's."""
    found: Tree = {}
    for top in tops:
        path = folder / top
        if path.is_file():
            found[top] = (path.read_bytes(), os.access(path, os.X_OK))
        for parent, _, names in os.walk(path):
            for name in names:
                if name.endswith((".tmp", ".dvc")) or name == ".gitignore":
                    continue
                full = Path(parent, name)
                found[str(full.relative_to(folder))] = (full.read_bytes(), False)
    return found


def check_objects(cache: Path) -> int:
    """Every object has the bytes that its name says; their number."""
    count = 0
    for path in (cache / "files/md5").glob("??/*"):
        value = path.parent.name + path.name
        assert md5_of(path) == value.removesuffix(".dir"), path
        count += 1
    return count


def md5_of(path: Path) -> str:
    digest = hashlib.md5()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class Life:
    """A project, and what becomes of it."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project = project
        self.random = random.Random(seed)
        self.told: list[str] = []
        self.runs: list[tuple[Run, Tree]] = []

    def name(self) -> str:
        return self.random.choice(NAMES)

    def content(self) -> bytes:
        return self.random.randbytes(self.random.choice((0, 1, 3, 3, 5000)))


def write(life: Life, top: str) -> None:
    path = life.project.path / top / life.name()
    for parent in path.parents:
        if parent.is_file():
            parent.unlink()
    if path.is_dir():
        shutil.rmtree(path)
    life.project.write(str(path.relative_to(life.project.path)), life.content())


def edit_data(life: Life) -> None:
    write(life, "data")


def edit_raw(life: Life) -> None:
    write(life, life.random.choice(("raw", "loose")))


def edit_in_place(life: Life) -> None:
    """With the size and the time of modification that the file had."""
    files = [p for p in (life.project.path / "data").rglob("*") if p.is_file()]
    if files:
        path = life.random.choice(files)
        info = path.stat()
        content = life.random.randbytes(info.st_size)
        path.unlink() if path.is_symlink() or info.st_nlink > 1 else None
        path.write_bytes(content)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def edit_file(life: Life) -> None:
    life.project.write("file", life.content()).chmod(life.random.choice((0o644, 0o755)))


def delete(life: Life) -> None:
    files = [p for p in (life.project.path / "data").rglob("*") if p.is_file()]
    if files:
        life.random.choice(files).unlink()


def make_folder(life: Life) -> None:
    path = life.project.path / "data" / f"folder{life.random.randrange(3)}"
    if not path.exists():
        path.mkdir()


def link(life: Life) -> None:
    path = life.project.path / "data/link"
    if not os.path.lexists(path):
        life.project.write("elsewhere", b"linked")
        path.symlink_to("../elsewhere")


def add(life: Life) -> None:
    life.project.add(life.random.choice(("file", "data")))


def commit(life: Life) -> None:
    life.project.commit()


STEPS_TAKEN: list[Callable[[Life], None]] = [
    *(edit_data, edit_data, edit_raw, edit_in_place, edit_file, delete, make_folder, link),
    *(add, commit),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["copy", "hardlink", "symlink"])
@pytest.mark.parametrize("seed", range(LIVES))
def test_every_saved_run_comes_back_byte_for_byte(
    project: Project, tmp_path: Path, seed: int, kind: str
) -> None:
    project.write(".dvcignore", "*.tmp\n")
    project.write(".gitignore", "/raw\n/loose\n")  # what Git has need not be saved
    with project.opened() as repo, repo.config.edit() as config:
        config["cache"]["type"] = kind
    life = Life(project, seed)
    project.add("file", "first")
    project.write("data/a", "a")
    project.add("data")
    project.write("raw/x", "x")
    project.commit()
    for _ in range(STEPS):
        step = life.random.choice(STEPS_TAKEN)
        life.told.append(step.__name__)
        step(life)
        if life.random.random() < 0.7:
            recorded = record_saved(project.path, PATTERNS)
            life.told.append(f"  run {len(life.runs)}: {recorded.tags['dvc.status']}")
            assert recorded.tags["dvc.status"] in ("saved", "clean"), life.told
            life.runs.append((recorded, look(project.path)))
    check_objects(project.path / ".dvc/cache")
    for number, (recorded, expected) in enumerate(life.runs):
        out = tmp_path / f"out-{number}"
        restore(recorded, out=out)
        assert look(out) == expected, [*life.told, number]
    for number, (recorded, expected) in enumerate(life.runs):
        restore(recorded, force=True)
        for path in (project.path / "raw", project.path / "loose"):
            # What a run did not have stays.
            known = [name for name in expected if name.startswith(f"{path.name}/")]
            if not known:
                shutil.rmtree(path, ignore_errors=True)
        found = look(project.path)
        assert expected.items() <= found.items(), [*life.told, number]
        extra = [name for name in found.keys() - expected if not name.startswith("loose/")]
        assert not extra, [*life.told, number, extra]
        if "edit_in_place" not in life.told:  # DVC itself does not see such an edit
            assert project.data_status() == {}, [*life.told, number]
    check_objects(project.path / ".dvc/cache")


def fill(project: Project, version: bytes) -> None:
    for number in range(FILES):
        target = project.path / "data" / str(number % 20) / f"{number}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        own = b"" if number % 5 == 0 else version
        if not target.exists() or target.read_bytes() != b"%d " % number + own:
            target.unlink(missing_ok=True)
            target.write_bytes(b"%d " % number + own)
    project.write("file", version * (8_000_000 // len(version)))


@pytest.mark.slow
@pytest.mark.timeout(600 + 60 * KILLS)
def test_a_run_killed_while_it_saves_leaves_whole_objects(project: Project) -> None:
    fill(project, b"first")
    project.add("data")
    project.add("file")
    fill(project, b"version 0")
    started = time.monotonic()
    assert ended(forked(lambda: record_saved(project.path))) == 0
    whole = time.monotonic() - started
    killed = 0
    for number in range(KILLS):
        fill(project, b"version %d" % (number + 1))
        pid = forked(lambda: record_saved(project.path))
        time.sleep(whole * (number + 0.5) / KILLS)
        os.kill(pid, signal.SIGKILL)
        killed += ended(pid) == -signal.SIGKILL
        check_objects(project.path / ".dvc/cache")
        before = look(project.path)
        saved = record_saved(project.path)
        assert saved.tags["dvc.status"] == "saved"
        if number % 3 == 0:
            fill(project, b"later")
            restore(saved, force=True)
            assert look(project.path) == before
    assert killed
    left = list((project.path / ".dvc/cache/mlflow-dvc").rglob("*"))
    assert len(left) <= killed * 4  # they are deleted after a day
    for path in left:
        os.utime(path, (0, 0))
    fill(project, b"the last")
    record_saved(project.path)
    assert list((project.path / ".dvc/cache").glob("mlflow-dvc")) == []


def test_a_full_disk_of_the_cache_leaves_the_run_modified(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    (project.path / ".dvc/cache").mkdir(exist_ok=True)
    with mounted(project.path / ".dvc/cache", "-t", "tmpfs", "-o", "size=2m", "tmpfs"):
        project.add("small", "1")
        project.write("data/a", os.urandom(100_000))
        project.add("data")
        project.write("small", "2")
        project.write("data/b", os.urandom(3_000_000))
        run = record_saved(project.path)
        assert (run.tags["dvc.status"], run.tags["dvc.modified"]) == ("modified", "data")
        assert run.tags["dvc.data.small"] == hashlib.md5(b"2").hexdigest()
        assert "data: it needs 3.0 MB" in caplog.text
        assert "to spare" in caplog.text
        # Something else fills the disk although there seems to be room.
        (project.path / "data/b").write_bytes(os.urandom(1_200_000))
        filler = project.path / ".dvc/cache/filler"
        space = os.statvfs(filler.parent)
        limits = "mlflow_dvc_plugin.capturing.saving.limits"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"{limits}._find_free", lambda _: 10**9)
            filler.write_bytes(b"x" * (space.f_bavail * space.f_frsize - 500_000))
            run = record_saved(project.path)
        assert run.tags["dvc.modified"] == "data"
        assert "No space left on device" in caplog.text
        check_objects(project.path / ".dvc/cache")
        assert not (project.path / ".dvc/cache/mlflow-dvc").exists()
        filler.unlink()
        assert record_saved(project.path).tags["dvc.status"] == "saved"


def test_a_cache_that_is_only_for_reading_leaves_the_run_modified(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.add("a", "1")
    project.write("a", "2")
    cache = project.path / ".dvc/cache"
    with mounted(cache, "--bind", str(cache)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(cache)], check=True)
        run = record_saved(project.path)
    assert (run.tags["dvc.status"], run.tags["dvc.modified"]) == ("modified", "a")
    assert "a: Read-only file system" in caplog.text
    assert record_saved(project.path).tags["dvc.status"] == "saved"


@pytest.mark.slow
def test_many_runs_at_once_save_all_of_it_once(project: Project) -> None:
    project.add("file", "first")
    project.write("data/a", "a")
    project.add("data")
    fill(project, b"version")
    expected = look(project.path)
    results = project.path.parent / "results"
    results.mkdir()

    def start(number: int) -> None:
        tags = record_saved(project.path).tags
        (results / str(number)).write_text(f"{tags['dvc.status']} {tags['dvc.data_hash']}")

    count = bounded(8, 64)
    pids = [forked(lambda n=n: start(n)) for n in range(count)]  # type: ignore[misc]
    assert [ended(pid) for pid in pids] == [0] * count
    (said,) = {path.read_text() for path in results.iterdir()}
    assert said.startswith("saved ")
    check_objects(project.path / ".dvc/cache")
    assert not (project.path / ".dvc/cache/mlflow-dvc").exists()
    run = record_saved(project.path)
    assert said.endswith(run.tags["dvc.data_hash"])
    fill(project, b"later")
    restore(run, force=True)
    assert look(project.path) == expected


@pytest.mark.slow
def test_a_sparse_file_of_3_gb_takes_no_space(project: Project) -> None:
    size = 3 * 1024**3
    project.add("large", "small")
    with (project.path / "large").open("r+b") as file:
        file.truncate(size)
        file.seek(size // 2)
        file.write(b"in the middle")
    started = time.monotonic()
    run = record_saved(project.path, most=4 * 1000**3)
    took = time.monotonic() - started
    assert run.tags["dvc.status"] == "saved"
    value = run.tags["dvc.data.large"]
    stored = project.path / ".dvc/cache/files/md5" / value[:2] / value[2:]
    info = stored.stat()
    assert (info.st_size, info.st_blocks * 512 < 10_000_000) == (size, True)
    started = time.monotonic()
    assert record_saved(project.path).tags["dvc.data.large"] == value
    assert time.monotonic() - started < took  # it need not be copied again
    assert md5_of(stored) == value


@pytest.mark.slow
def test_a_disk_with_reflinks_needs_no_space(project: Project, tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(300_000_000)
    if not shutil.which("mkfs.btrfs"):
        pytest.skip("there is no mkfs.btrfs")
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True, capture_output=True)
    where = tmp_path / "mounted"
    where.mkdir()
    with mounted(where, "-o", "loop", str(image)):
        copied = where / "project"
        shutil.copytree(project.path, copied, symlinks=True)
        on_btrfs = Project(copied)
        on_btrfs.add("large", "small")
        on_btrfs.write("large", os.urandom(150_000_000))  # twice that does not fit
        on_btrfs.write("folder/empty", "")
        for number in range(20):
            on_btrfs.write(f"folder/{number}", os.urandom(3000 * number))
        expected = look(copied, ("large", "folder"))
        os.sync()
        before = shutil.disk_usage(where).free
        run = record_saved(copied, ("folder",))
        os.sync()
        assert run.tags["dvc.status"] == "saved"
        assert before - shutil.disk_usage(where).free < 20_000_000
        check_objects(copied / ".dvc/cache")
        with (copied / "large").open("r+b") as file:
            file.write(b"a later edit")
        check_objects(copied / ".dvc/cache")
        restore(run, out=tmp_path / "out", project=str(copied))
        assert look(tmp_path / "out", ("large", "folder")) == expected
