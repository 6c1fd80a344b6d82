"""Saving at a run's start, against what DVC itself stores of the same data."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing.run_start import capture_run_start
from mlflow_dvc_plugin.capturing.saving import progress_line, workspace
from mlflow_dvc_plugin.state import DataState
from tests.forks import ended, forked
from tests.history import mlflow_dvc
from tests.project import Project
from tests.record import record_saved

LOGGER = "mlflow_dvc_plugin"


@pytest.fixture(autouse=True)
def warn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process says the same thing only once."""
    monkeypatch.setattr(workspace, "_warned", set())


def start_run(monkeypatch: pytest.MonkeyPatch, save: str = "1", **settings: str) -> DataState:
    """The state of a run that starts now, with the setting."""
    monkeypatch.setenv("MLFLOW_DVC_SAVE", save)
    for name, value in settings.items():
        monkeypatch.setenv(f"MLFLOW_DVC_{name}", value)
    found = capture_run_start(save=True)
    assert found is not None
    return found.state


def hashes(state: DataState) -> dict[str, str | None]:
    return {e.path: e.hash for e in state.entries}


def list_objects(cache: Path) -> dict[str, bytes]:
    """The objects of a cache; each has the bytes that its name says."""
    found = {}
    for path in sorted((cache / "files/md5").glob("??/*")):
        value, data = path.parent.name + path.name, path.read_bytes()
        assert hashlib.md5(data).hexdigest() == value.removesuffix(".dir"), path
        found[value] = data
    return found


def edit(project: Project) -> None:
    project.write("model.bin", "other")
    project.write("data/a", "A")
    project.write("data/new", "")
    (project.path / "data/sub/b").unlink()


def test_modified_outs_are_saved_as_dvc_would_store_them(
    two: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edit(two)
    metafiles = {path: path.read_bytes() for path in two.path.glob("?*.dvc")}
    shutil.copytree(two.path, tmp_path / "twin", symlinks=True)
    twin = Project(tmp_path / "twin")
    state = start_run(monkeypatch)
    for name in ("model.bin", "data"):
        twin.add(name)
    ours, theirs = list_objects(two.path / ".dvc/cache"), list_objects(twin.path / ".dvc/cache")
    assert ours == theirs
    monkeypatch.chdir(twin.path)
    monkeypatch.delenv("MLFLOW_DVC_SAVE")
    expected = capture_run_start()
    assert expected is not None
    assert expected.state.status == "clean"
    assert state.entries == expected.state.entries
    assert (state.status, state.modified) == ("saved", ("data", "model.bin"))
    assert state.data_hash == expected.state.data_hash
    tags = state.to_tags()
    assert tags["dvc.status"] == "saved"
    assert tags["dvc.modified"] == "data,model.bin"
    assert tags["dvc.data.model.bin"] == hashlib.md5(b"other").hexdigest()
    assert {path: path.read_bytes() for path in two.path.glob("?*.dvc")} == metafiles
    assert "uncommitted" in two.data_status()  # to DVC, nothing was added


def test_unmodified_data_is_clean_and_nothing_is_written(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(two.path / ".dvc/cache")
    state = start_run(monkeypatch)
    assert (state.status, state.modified) == ("clean", ())
    assert not (two.path / ".dvc/cache").exists()


def test_what_is_absent_stays_missing_and_the_rest_is_saved(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start_run(monkeypatch)
    edit(two)
    (two.path / "model.bin").unlink()
    state = start_run(monkeypatch)
    assert (state.status, state.modified) == ("missing", ("data",))
    assert hashes(state)["model.bin"] == hashes(before)["model.bin"]
    assert hashes(state)["data"] != hashes(before)["data"]


def test_an_object_has_the_permissions_that_dvc_gives_it(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.dvc("config", "cache.shared", "group")
    edit(two)
    old = os.umask(0o077)
    try:
        state = start_run(monkeypatch)
    finally:
        os.umask(old)
    for value in (str(hashes(state)["data"]), hashlib.md5(b"other").hexdigest()):
        path = two.path / ".dvc/cache/files/md5" / value[:2] / value[2:]
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o2775


@pytest.mark.slow
@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_a_later_edit_does_not_reach_the_cache(
    two: Project, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    two.dvc("config", "cache.type", link)
    two.dvc("checkout", "--relink")
    edit(two)
    state = start_run(monkeypatch)
    (two.path / "model.bin").write_text("third")
    (two.path / "data/a").write_text("third")
    assert b"other" in list_objects(two.path / ".dvc/cache").values()
    later = start_run(monkeypatch)
    assert hashes(later)["model.bin"] == hashlib.md5(b"third").hexdigest()
    assert hashes(later)["data"] != hashes(state)["data"]


def test_a_file_is_not_read_again_by_the_next_process(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process cannot even read it: permissions say so to all but root."""
    two.write("data/large", b"x" * 3_000_000)
    two.write("model.bin", b"y" * 3_000_000)
    old = time.time() - 60
    for path in (two.path / "data/large", two.path / "model.bin"):
        os.utime(path, (old, old))
    time.sleep(2.1)  # timestamps that are older can be trusted
    first = start_run(monkeypatch)
    code = (
        "import builtins, os, sys\n"
        "from mlflow_dvc_plugin.capturing.workspace import hashing\n"
        "from mlflow_dvc_plugin.capturing.saving import object_store, out_saver\n"
        "def refuse(*args): raise AssertionError(args)\n"
        "out_saver.hash_file = object_store.ObjectStore.save_file = refuse\n"
        "from mlflow_dvc_plugin.capturing.run_start import capture_run_start\n"
        "print(capture_run_start(save=True).state.data_hash)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=two.path, check=False
    )
    assert done.stdout.strip() == first.data_hash, done.stderr
    for path in (two.path / "data/large", two.path / "model.bin"):
        path.write_bytes(b"z" * 3_000_000)
        os.utime(path, (old, old))  # the size and the modification time are as before
    assert start_run(monkeypatch).data_hash != first.data_hash


def test_an_object_that_was_lost_is_saved_again(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(two)
    first = start_run(monkeypatch)
    shutil.rmtree(two.path / ".dvc/cache")
    again = start_run(monkeypatch)
    assert (again.status, again.entries) == ("saved", first.entries)
    saved = list_objects(two.path / ".dvc/cache")
    assert {str(value) for value in hashes(again).values()} <= saved.keys()
    assert {b"A", b"", b"other"} <= set(saved.values())


def test_an_object_that_is_damaged_is_replaced(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(two)
    value = hashlib.md5(b"other").hexdigest()
    broken = two.write(f".dvc/cache/files/md5/{value[:2]}/{value[2:]}", "broke")
    start_run(monkeypatch)
    assert broken.read_bytes() == b"other"


@pytest.mark.parametrize("most", ["4", "4b", "0.004kB"])
def test_what_exceeds_the_limit_is_not_saved_and_one_warning_says_so(
    two: Project,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    most: str,
) -> None:
    edit(two)
    before = list_objects(two.path / ".dvc/cache")
    old = hashlib.md5(b"first").hexdigest()
    state = start_run(monkeypatch, SAVE_MAX=most)
    assert (state.status, state.modified) == ("modified", ("model.bin",))
    assert hashes(state)["model.bin"] == old
    assert hashlib.md5(b"other").hexdigest() not in list_objects(two.path / ".dvc/cache")
    assert list_objects(two.path / ".dvc/cache").keys() > before.keys()  # the folder fits
    start_run(monkeypatch)
    (said,) = {each.message for each in caplog.records if each.name == LOGGER}
    assert "model.bin: 5 bytes would be saved, but MLFLOW_DVC_SAVE_MAX allows 4 bytes" in said


def test_a_failure_leaves_the_run_as_without_the_setting(
    two: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    edit(two)
    shutil.rmtree(two.path / ".dvc/cache")
    (two.path / ".dvc/cache").write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        state = start_run(monkeypatch)
    monkeypatch.delenv("MLFLOW_DVC_SAVE")
    plain = capture_run_start(save=True)
    assert plain is not None
    assert state.entries == plain.state.entries
    assert state.status == plain.state.status == "modified"
    assert len([each for each in caplog.records if each.name.startswith(LOGGER)]) == 1


def test_a_folder_that_dvc_refuses_is_named(
    two: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    two.write("data/.dvcignore", "*.tmp\n")
    two.write("model.bin", "other")
    state = start_run(monkeypatch)
    assert (state.status, state.modified) == ("modified", ("data",))
    assert "data: it has .dvcignore in it, and DVC refuses such folders" in caplog.text
    assert hashes(state)["model.bin"] == hashlib.md5(b"other").hexdigest()


def test_a_folder_with_a_pipe_or_a_broken_link_is_named(
    two: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(two.path / "data/pipe")
    assert start_run(monkeypatch).status == "modified"
    assert "data: pipe in it is not a file" in caplog.text
    (two.path / "data/pipe").unlink()
    (two.path / "data/link").symlink_to("nowhere")
    assert start_run(monkeypatch).status == "modified"
    assert "data: something in it cannot be read, or is a link that leads nowhere" in caplog.text


def test_links_ignored_and_strange_names_are_saved_as_dvc_does(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("data/x", "x")
    project.write("folder/a", "a")
    project.add("folder")
    project.write(".dvcignore", "*.tmp\n")
    project.write("outside/file", "linked")
    for name in ("é", "é", "日本", "with space", 'quo"te', "back\\slash", "new\nline", "empty/"):
        target = project.path / "folder" / name
        if name.endswith("/"):
            target.mkdir()
        else:
            target.write_text(name)
    project.write("folder/skipped.tmp", "skipped")
    (project.path / "folder/link").symlink_to("../outside/file")
    (project.path / "folder/link to folder").symlink_to("../outside")
    (project.path / "folder/script").write_text("#!")
    (project.path / "folder/script").chmod(0o755)
    (project.path / "data/x").unlink()
    (project.path / "data/x").mkdir()  # the file is a folder now, and empty
    state = start_run(monkeypatch)
    ours = list_objects(project.path / ".dvc/cache")
    assert state.status == "saved"
    project.add("folder")
    project.add("data/x")
    assert list_objects(project.path / ".dvc/cache") == ours
    monkeypatch.delenv("MLFLOW_DVC_SAVE")
    added = capture_run_start()
    assert added is not None
    assert added.state.entries == state.entries


def test_a_file_that_becomes_executable_is_recorded_so(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (two.path / "model.bin").chmod(0o755)
    state = start_run(monkeypatch)
    assert state.status == "clean"
    assert [e.path for e in state.entries if e.isexec] == ["model.bin"]


def test_data_that_is_written_all_the_time_is_not_saved(
    two: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    target = two.path / "data/log"
    target.write_bytes(b"0" * 30_000_000)

    def write() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with target.open("a") as file:
                file.write("x")

    writer = forked(write)
    try:
        while target.stat().st_size == 30_000_000:
            time.sleep(0.01)
        state = start_run(monkeypatch)
    finally:
        os.kill(writer, 9)
        ended(writer)
    assert (state.status, state.modified) == ("modified", ("data",))
    assert "data: it changed while it was being saved" in caplog.text
    list_objects(two.path / ".dvc/cache")
    assert start_run(monkeypatch).status == "saved"


def test_in_a_stage_only_its_inputs_are_saved(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("used", "1")
    project.add("unused", "1")
    project.write(
        "dvc.yaml",
        "stages:\n  make:\n    cmd: cp used made\n    deps: [used]\n    outs: [made]\n"
        "  next:\n    cmd: cp made last\n    deps: [made]\n    outs: [last]\n",
    )
    with project.opened() as repo:
        repo.reproduce()
    for name in ("used", "made", "last"):
        project.write(name, f"other {name}")
    monkeypatch.setenv("DVC_STAGE", "make")
    monkeypatch.setenv("DVC_ROOT", str(project.path))
    state = start_run(monkeypatch)
    assert (state.status, state.modified, state.stage) == ("saved", ("used",), "make")
    assert hashes(state).keys() == {"used", "unused"}
    assert hashes(state)["used"] == hashlib.md5(b"other used").hexdigest()
    stored = list_objects(project.path / ".dvc/cache").values()
    assert b"other used" in stored
    assert not {b"other made", b"other last"} & set(stored)
    project.write("unused", "also other")
    state = start_run(monkeypatch)
    assert (state.status, state.modified) == ("modified", ("unused",))


def test_patterns_save_what_nothing_tracks(two: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    two.write("code/train.py", "code")
    two.commit()
    two.write("code/notes.txt", "notes")
    two.write("raw/deep/x", "x")
    two.write("raw/y", "y")
    two.write("models/m1/weights", "1")
    two.write("models/m2", "2")
    two.write("models/readme.md", "tracked by Git")
    two.git("add", "models/readme.md")
    two.write("other/z", "z")
    two.write("data/new", "part of a tracked folder")
    state = start_run(monkeypatch, "raw/**,models/*,code,data/**,*.dvc")
    untracked = {e.path: e for e in state.entries if not e.metafile}
    assert untracked.keys() == {"raw", "models/m1", "models/m2", "code/notes.txt"}
    assert untracked["raw"].isdir
    assert untracked["raw"].nfiles == 2
    assert (state.status, state.modified) == ("saved", ("data",))
    assert set(hashes(state)) > {"model.bin", "data"}
    stored = set(list_objects(two.path / ".dvc/cache").values())
    assert {b"x", b"y", b"1", b"2", b"notes"} <= stored
    assert not {b"z", b"code", b"tracked by Git"} & stored
    excluding = start_run(monkeypatch, "raw/**", EXCLUDE="raw")
    assert "raw" not in hashes(excluding)


def test_a_stage_that_never_ran_and_data_of_git_are_saved(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(
        "dvc.yaml",
        "stages:\n  never:\n    cmd: exit 1\n    outs: [by-hand]\n"
        "  made:\n    cmd: echo 1 > metrics.json\n"
        "    metrics:\n    - metrics.json:\n        cache: false\n",
    )
    with project.opened() as repo:
        repo.reproduce("made")
    project.write("by-hand", "made by hand")
    project.write("metrics.json", "2")
    state = start_run(monkeypatch)
    assert state.status == "saved"
    entries = {e.path: e for e in state.entries}
    assert entries["by-hand"].metafile == ""
    assert not entries["metrics.json"].cached
    assert {b"made by hand", b"2"} <= set(list_objects(project.path / ".dvc/cache").values())


def test_in_a_stage_patterns_save_its_untracked_inputs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("raw/used", "by hand")
    project.write("raw/other", "by hand, too")
    project.write(
        "dvc.yaml",
        "stages:\n  make:\n    cmd: cp raw/used made\n    deps: [raw/used]\n    outs: [made]\n",
    )
    monkeypatch.setenv("DVC_STAGE", "make")
    monkeypatch.setenv("DVC_ROOT", str(project.path))
    state = start_run(monkeypatch, "raw/*")
    assert [(e.path, e.input) for e in state.entries] == [("raw/used", True)]
    assert state.inputs_hash == state.data_hash
    assert state.status == "saved"


def test_an_exported_state_is_saved_when_it_is_exported(
    two: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edit(two)
    monkeypatch.setenv("MLFLOW_DVC_SAVE", "1")
    assert mlflow_dvc("export", "-o", str(tmp_path / "state.json")).code == 0
    assert b"other" in list_objects(two.path / ".dvc/cache").values()
    monkeypatch.setenv("MLFLOW_DVC_STATE", str(tmp_path / "state.json"))
    monkeypatch.chdir(tmp_path)
    found = capture_run_start(save=True)
    assert found is not None
    assert (found.state.status, found.state.modified) == ("saved", ("data", "model.bin"))


def test_users_of_a_group_share_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid():
        pytest.skip("only root can be several users")
    group = 54321
    folder = Path(tempfile.mkdtemp(prefix="mlflow-dvc-group-"))
    folder.chmod(0o755)
    cache = folder / "cache"
    cache.mkdir()
    os.chown(cache, -1, group)
    cache.chmod(0o2775)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))

    def work(user: int) -> None:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
        os.umask(0o022)
        own = Project(folder / str(user))
        os.chdir(own.path)
        os.environ["HOME"] = str(own.path)
        record = record_saved(own.path)
        assert record.tags["dvc.status"] == "saved", record.tags

    try:
        for user in (50001, 50002):
            own = Project.create(folder / str(user))
            own.dvc("cache", "dir", str(cache))
            own.dvc("config", "cache.shared", "group")
            own.write("data/a", "first")
            own.write("data/b", "first")
            for name in ("data",):
                value = hashlib.md5(b"no such content").hexdigest()
                own.write(
                    f"{name}.dvc",
                    f"outs:\n- md5: {value}.dir\n  nfiles: 9\n  hash: md5\n  path: {name}\n",
                )
            own.write("data/a", "the same for both")
            own.write("data/b", f"of {user} alone")
            subprocess.run(["chown", "-R", f"{user}:{group}", str(own.path)], check=True)
            assert ended(forked(lambda u=user: work(u))) == 0  # type: ignore[misc]
        stored = list_objects(cache)
        assert {b"the same for both", b"of 50001 alone", b"of 50002 alone"} <= set(stored.values())
        for path in (cache / "files/md5").glob("??"):
            info = path.stat()
            assert (info.st_gid, stat.S_IMODE(info.st_mode)) == (group, 0o2775)
            assert all(stat.S_IMODE(p.stat().st_mode) == 0o444 for p in path.iterdir())
        assert not (cache / "mlflow-dvc").exists()
    finally:
        shutil.rmtree(folder)


def test_other_ranks_do_not_save(two: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(two)
    before = list_objects(two.path / ".dvc/cache")
    monkeypatch.setenv("RANK", "1")
    assert start_run(monkeypatch).status == "modified"
    assert list_objects(two.path / ".dvc/cache") == before
    monkeypatch.setenv("RANK", "0")
    state = start_run(monkeypatch)
    assert state.status == "saved"
    monkeypatch.setenv("RANK", "1")
    assert start_run(monkeypatch).data_hash == state.data_hash


def test_nobody_waits_for_a_process_that_hangs_while_it_saves(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    edit(two)
    lock = two.path / ".dvc/tmp/mlflow-dvc/saving.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert start_run(monkeypatch).status == "saved"


def test_dvc_add_and_gc_know_what_was_saved(two: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(two)
    state = start_run(monkeypatch)
    before = list_objects(two.path / ".dvc/cache")
    two.add("data")
    assert list_objects(two.path / ".dvc/cache") == before
    two.dvc("gc", "--workspace", "--force")
    after = list_objects(two.path / ".dvc/cache")
    assert str(hashes(state)["data"]) in after
    assert b"other" not in after.values()  # no metafile has it


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(
    two: Project, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    two.write("model.bin", os.urandom(3_000_000))
    monkeypatch.setattr(progress_line, "_DELAY", 0)
    monkeypatch.setattr(progress_line, "_INTERVAL", 0)
    reader, writer = os.openpty() if terminal else os.pipe()
    with open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        start_run(monkeypatch)
        stream.write("end")
        stream.flush()
        said = ""
        while not said.endswith("end"):  # a terminal gives a part at a time
            said += os.read(reader, 1 << 16).decode()
    os.close(reader)
    if terminal:
        assert "mlflow-dvc saves model.bin for this run: " in said
        assert " of 3.0 MB" in said
        assert said.endswith("\r\x1b[Kend")
    else:
        assert said == "end"


def test_without_the_setting_nothing_is_imported(two: Project) -> None:
    edit(two)
    code = (
        "import sys\n"
        "from mlflow_dvc_plugin.capturing.run_start import capture_run_start\n"
        "capture_run_start(save=True)\n"
        "print(*[n for n in sys.modules if 'saving' in n or n.endswith('file_copy')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=two.path, check=True
    )
    assert done.stdout.strip() == ""


def test_the_cache_may_be_on_another_disk(two: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == two.path.stat().st_dev:
        pytest.skip("there is no other disk")
    other = shm / f"mlflow-dvc-test-{os.getpid()}"
    try:
        two.dvc("cache", "dir", str(other))
        edit(two)
        state = start_run(monkeypatch)
        assert state.status == "saved"
        assert str(hashes(state)["data"]) in list_objects(other)
    finally:
        shutil.rmtree(other, ignore_errors=True)


def test_the_setting_can_be_in_pyproject(two: Project) -> None:
    two.write("pyproject.toml", '[tool.mlflow-dvc]\nsave = ["raw/**"]\nsave_max = "1MiB"\n')
    edit(two)
    two.write("raw/x", "x")
    found = capture_run_start(save=True)
    assert found is not None
    assert found.settings.save == ("raw/**",)
    assert found.settings.save_max == 1 << 20
    assert found.state.status == "saved"
    assert "raw" in hashes(found.state)
    assert record_saved(two.path).tags["dvc.status"] == "saved"
