"""The status: proven, never guessed."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.capturing.dvc_config import load_config
from mlflow_dvc_plugin.capturing.workspace import hashing, status
from mlflow_dvc_plugin.capturing.workspace.state_database import find_database
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.state.objects import build_listing
from tests.project import Project

# Time enough on a busy machine; what the budget itself does has tests of its own.
PATIENT = Settings(status_budget_ms=20_000)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    forget_verdicts()


def forget_verdicts() -> None:
    status._folder_verdicts.clear()
    hashing._hashes.clear()


@pytest.fixture
def no_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were no time to read any file, so that DVC's records have to do."""
    monkeypatch.setattr(status, "hash_file", lambda *_: None)
    monkeypatch.setattr(status, "_FEW_FILES", -1)


def look(project: Project, settings: Settings = PATIENT) -> DataState:
    state = capture(project.path, settings)
    assert state is not None
    return state


def verdict(project: Project) -> tuple[str, tuple[str, ...]]:
    forget_verdicts()
    state = look(project)
    return state.status, state.modified


@pytest.fixture
def data(project: Project) -> Project:
    """A file and a folder, tracked."""
    project.write("data/one.txt", "one")
    project.write("data/sub/two.txt", "two")
    project.write("single.txt", "single")
    project.dvc("add", "-q", "data", "single.txt")
    return project


@pytest.mark.versions
@pytest.mark.usefixtures("no_hashing")
@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_clean_by_dvcs_own_records(data: Project, link: str) -> None:
    assert verdict(data) == ("clean", ())
    data.dvc("config", "cache.type", link)
    shutil.rmtree(data.path / "data")
    data.path.joinpath("single.txt").unlink()
    data.dvc("checkout", "-q")
    assert verdict(data) == ("clean", ())


@pytest.mark.usefixtures("no_hashing")
def test_clean_after_pull(data: Project, tmp_path: Path) -> None:
    data.remote(tmp_path / "store")
    data.dvc("push", "-q")
    shutil.rmtree(data.path / ".dvc" / "cache")
    shutil.rmtree(data.path / "data")
    data.dvc("pull", "-q")
    assert verdict(data) == ("clean", ())


def test_clean_by_hash_without_records_or_cache(
    data: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "none"))
    shutil.rmtree(data.path / ".dvc" / "cache")
    assert verdict(data) == ("clean", ())
    data.write("data/one.txt", "eno")
    assert verdict(data) == ("modified", ("data",))


def edit(path: Path, content: str, keep_time: bool) -> None:
    before = path.stat()
    time.sleep(0.05)  # the two timestamps of one write differ by less
    path.write_text(content)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("keep_time", [False, True])
@pytest.mark.parametrize("name", ["single.txt", "data/one.txt"])
def test_edit_of_the_same_size(data: Project, name: str, keep_time: bool) -> None:
    path = data.path / name
    edit(path, path.read_text()[::-1].upper(), keep_time)
    assert verdict(data) == ("modified", (name.partition("/")[0],))
    # DVC writes to its database afterwards: that proves nothing about the file.
    data.add("another.txt", "x")
    assert verdict(data) == ("modified", (name.partition("/")[0],))


@pytest.mark.usefixtures("no_hashing")
def test_edit_with_the_time_set_back_is_not_clean_without_hashing(data: Project) -> None:
    edit(data.path / "single.txt", "SINGLE", keep_time=True)
    edit(data.path / "data" / "one.txt", "ONE", keep_time=True)
    data.add("another.txt", "x")
    assert verdict(data) == ("unverified", ())


@pytest.mark.usefixtures("no_hashing")
def test_old_files_that_dvc_added_are_clean(project: Project) -> None:
    """Unpacked with the times of an archive: the inode changed after the content."""
    for name in ("data/a", "data/b", "single"):
        path = project.write(name, name)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    time.sleep(0.05)
    project.dvc("add", "-q", "data", "single")
    assert verdict(project) == ("clean", ())


def test_size_tells(data: Project) -> None:
    data.write("single.txt", "longer than before")
    assert verdict(data) == ("modified", ("single.txt",))


def test_folder_with_another_file_more_or_less(data: Project) -> None:
    extra = data.write("data/three.txt", "")
    assert verdict(data) == ("modified", ("data",))
    extra.unlink()
    assert verdict(data) == ("clean", ())
    (data.path / "data" / "one.txt").rename(data.path / "data" / "eno.txt")
    assert verdict(data) == ("modified", ("data",))


def test_missing(data: Project) -> None:
    (data.path / "single.txt").unlink()
    assert verdict(data) == ("missing", ())
    data.write("data/one.txt", "changed")
    assert verdict(data) == ("modified", ("data",))


@pytest.mark.parametrize("crowd", [0, 100])
def test_missing_among_many(project: Project, crowd: int) -> None:
    """One listing of a folder tells what is not in it, if it does not hold too much else."""
    md5 = hashlib.md5(b"x").hexdigest()
    for number in range(20):
        project.write(f"d/{number}.dvc", f"outs:\n- {{md5: {md5}, hash: md5, path: f{number}}}\n")
        project.write(f"d/f{number}", "x")
    for number in range(crowd):
        project.write(f"d/other{number}", "")
    assert verdict(project) == ("clean", ())
    (project.path / "d" / "f7").unlink()
    assert verdict(project) == ("missing", ())
    (project.path / "d" / "f7").symlink_to("nowhere")
    assert verdict(project) == ("missing", ())
    project.write("d/f7", "y")
    assert verdict(project) == ("modified", ("d/f7",))
    for number in range(20):
        (project.path / "d" / f"f{number}").unlink()
    assert verdict(project) == ("missing", ())


def test_file_for_a_folder_and_folder_for_a_file(data: Project) -> None:
    shutil.rmtree(data.path / "data")
    data.write("data", "")
    (data.path / "single.txt").unlink()
    (data.path / "single.txt").mkdir()
    assert verdict(data) == ("modified", ("data", "single.txt"))


def test_dvcignore_holds_inside_folders(data: Project) -> None:
    data.write(".dvcignore", "*.tmp\n/data/cache\n")
    data.write("data/x.tmp", "")
    data.write("data/cache/y", "")
    data.write("data/.git/config", "")
    assert verdict(data) == ("clean", ())


@pytest.mark.versions
def test_text_of_dvc_2(project: Project) -> None:
    project.write("a.dvc", "outs:\n- md5: dd8c6a395b5dd36c56d23275028f526c\n  size: 6\n  path: a\n")
    for text in (b"a\nb\n", b"a\r\nb\r\n"):
        project.write("a", text)
        assert verdict(project)[0] == "clean"
    project.write("a", b"a\0\r\nb\r\n")
    assert verdict(project)[0] == "modified"


def test_outs_that_git_keeps_are_judged_too(project: Project) -> None:
    project.write(
        "dvc.yaml", "stages:\n  a: {cmd: echo 1 > m.json, outs: [m.json: {cache: false}]}\n"
    )
    project.dvc("repro", "-q")
    assert verdict(project) == ("clean", ())
    project.write("m.json", "2\n")
    assert verdict(project) == ("modified", ("m.json",))


def test_outs_that_were_never_made_are_not_judged(project: Project) -> None:
    project.write("dvc.yaml", "stages:\n  a: {cmd: x, outs: [never]}\n")
    assert verdict(project) == ("clean", ())


def test_no_budget_no_look(data: Project) -> None:
    assert look(data, Settings(status_budget_ms=0)).status == "unverified"


def test_budget_holds(project: Project) -> None:
    with (project.path / "large.bin").open("wb") as file:
        file.truncate(2_000_000_000)
    project.write(
        "large.bin.dvc",
        "outs:\n- {md5: 0123456789abcdef0123456789abcdef, hash: md5, path: large.bin}\n",
    )
    started = time.monotonic()
    assert look(project, Settings(status_budget_ms=100)).status == "unverified"
    assert time.monotonic() - started < 1


def test_cache_object_that_can_be_written_to_proves_nothing(data: Project) -> None:
    data.dvc("config", "cache.type", "hardlink")
    data.path.joinpath("single.txt").unlink()
    data.dvc("checkout", "-q")
    path = data.path / "single.txt"
    path.chmod(0o644)
    path.write_text("SINGLE")
    assert verdict(data) == ("modified", ("single.txt",))


def test_verdict_on_a_folder_stands_for_a_while_on_a_file_never(
    data: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdict(data) == ("clean", ())
    data.write("data/one.txt", "changed")
    assert look(data).status == "clean"
    data.write("single.txt", "changed")
    assert look(data).modified == ("single.txt",)
    monkeypatch.setattr(status, "_FOLDER_SECONDS", 0)
    assert look(data).modified == ("data", "single.txt")


@pytest.mark.parametrize("damage", ["garbage", "locked", "another schema", "wrong values"])
def test_state_database_that_is_of_no_use(data: Project, damage: str) -> None:
    path = find_database(str(data.path), load_config(str(data.path)))
    assert path is not None
    if damage == "garbage":
        Path(path).write_bytes(b"no database" * 100)
        assert verdict(data) == ("clean", ())
        return
    connection = sqlite3.connect(path, isolation_level=None)
    if damage == "locked":
        connection.execute("BEGIN EXCLUSIVE")
    elif damage == "another schema":
        connection.execute("ALTER TABLE Cache RENAME TO Other")
    else:
        connection.execute("UPDATE Cache SET value = '[1'")
    started = time.monotonic()
    assert verdict(data) == ("clean", ())
    assert time.monotonic() - started < 5
    connection.close()


@pytest.mark.versions
@pytest.mark.windows
def test_dvc_itself_agrees(data: Project) -> None:
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: data.write("data/one.txt", "1"),
        lambda: data.write("data/one.txt", "one"),
        lambda: data.write("data/more", ""),
        lambda: shutil.rmtree(data.path / "data" / "sub"),
        lambda: shutil.rmtree(data.path / "data"),
    ]
    for change in changes:
        change()
        uncommitted = data.data_status().get("uncommitted", {})
        said, modified = verdict(data)
        if not uncommitted:
            assert said == "clean"
        elif "data/" in uncommitted.get("deleted", ()):
            assert said == "missing"
        else:
            assert (said, modified) == ("modified", ("data",))


def test_folder_of_dvc_2(project: Project) -> None:
    members = {
        "a.txt": hashlib.md5(b"x\ny\n").hexdigest(),
        "b/c": hashlib.md5(b"\0\r\n").hexdigest(),
    }
    project.write(
        "d.dvc", f"outs:\n- md5: {build_listing(members)[0].value}\n  nfiles: 2\n  path: d\n"
    )
    project.write("d/a.txt", b"x\r\ny\r\n")
    project.write("d/b/c", b"\0\r\n")
    assert verdict(project) == ("clean", ())
    project.write("d/b/c", b"\0\n\n")
    assert verdict(project) == ("modified", ("d",))


def test_folder_in_a_cloud_versioned_remote(project: Project) -> None:
    """Its hash is in no cache: the metafile lists the members."""
    files = "".join(
        f"  - {{relpath: {name}, md5: {hashlib.md5(name.encode()).hexdigest()}, size: 3}}\n"
        for name in ("one", "two")
    )
    project.write("d.dvc", f"outs:\n- path: d\n  hash: md5\n  files:\n{files}")
    project.write("d/one", "one")
    assert verdict(project) == ("modified", ("d",))
    project.write("d/two", "two")
    assert verdict(project) == ("clean", ())
    project.write("d/two", "owt")
    assert verdict(project) == ("modified", ("d",))
