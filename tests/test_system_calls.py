"""What only some systems can do, and that the package does without where it is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlflow_dvc_plugin import system_calls
from mlflow_dvc_plugin.capturing.dvc_writer import DvcWriter
from mlflow_dvc_plugin.capturing.files import find_signature
from mlflow_dvc_plugin.capturing.formats.outs import Out
from mlflow_dvc_plugin.capturing.workspace.expected_outs import ExpectedOuts
from mlflow_dvc_plugin.file_copy import clone, copy, create_file
from mlflow_dvc_plugin.restoring import restore, undo
from mlflow_dvc_plugin.state import Entry
from tests.history import History
from tests.project import Project, run
from tests.record import record, record_saved, snapshot

# Windows has none of these; macOS lacks some.
_ABSENT = (
    *("O_TMPFILE", "O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "copy_file_range", "readv", "pread"),
    *("fchmod", "killpg", "geteuid", "statvfs", "pathconf", "fork", "setsid", "uname"),
    *("SIGKILL", "SIGHUP"),
)
_ABSENT_MODULES = ("fcntl", "pwd", "grp", "resource", "termios")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that can do only what all can; what DVC needs is loaded before."""
    importlib.import_module("zc.lockfile")
    for name in ("O_TMPFILE", "copy_file_range", "readv", "pread", "fchmod"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(system_calls, "_LOCKS", "/nonexistent/locks")
    monkeypatch.setattr(sys, "platform", "other")


@pytest.mark.usefixtures("bare")
def test_a_bare_system_says_what_it_cannot_do(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"1" * 100_000)
    assert system_calls.create_unnamed(str(tmp_path), 0o666) is None
    assert not system_calls.is_locked(old.stat().st_ino)
    with create_file(str(tmp_path / "new")) as new, old.open("rb") as file:
        assert system_calls.try_lock(new) is None
        assert not system_calls.reflink(file.fileno(), new)
        assert not system_calls.copy_range(file.fileno(), new, 100_000)
        assert clone(str(old), new, old.stat()) is None
        copy(str(old), new)
    assert (tmp_path / "new").read_bytes() == old.read_bytes()


@pytest.mark.usefixtures("bare")
def test_data_is_recorded_saved_restored_and_taken_back_on_a_bare_system(two: Project) -> None:
    two.write("data/large", os.urandom(3_000_000))
    two.add("data")
    before = record(two.path)
    first = snapshot(two.path)
    two.write("data/large", os.urandom(3_000_001))
    two.write("data/new", "not added")
    changed = record_saved(two.path)
    assert changed.tags["dvc.status"] == "saved"
    second = snapshot(two.path)
    restore(before)
    assert snapshot(two.path) == first
    assert two.data_status() == {}
    undo(project=str(two.path))
    assert snapshot(two.path) == second
    restore(changed)
    assert two.data_status() == {}


def test_a_lock_is_seen_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
    try:
        if system_calls.try_lock(first) is None:
            pytest.skip("the system has no such locks")
        assert system_calls.try_lock(second) is False
        assert system_calls.is_locked(path.stat().st_ino) == os.path.exists("/proc/locks")
    finally:
        os.close(first)
    assert not system_calls.is_locked(path.stat().st_ino)
    assert system_calls.try_lock(second) is True
    os.close(second)


@pytest.mark.usefixtures("bare")
def test_where_no_lock_is_seen_a_settled_file_counts_as_written(project: Project) -> None:
    project.add("a", "1")
    metafile = str(project.path / "a.dvc")
    writer = DvcWriter(str(project.path))
    began = time.monotonic()
    writer.wait({metafile: find_signature(metafile)})
    assert time.monotonic() - began < 1
    assert not writer.is_seen()


@pytest.mark.usefixtures("bare")
def test_outs_are_looked_for_one_by_one_where_a_listing_may_name_them_otherwise(
    tmp_path: Path,
) -> None:
    outs = [Out(Entry(f"{n}", "md5", "0" * 32), str(tmp_path / f"{n}")) for n in range(20)]
    assert ExpectedOuts(outs).find_candidates(lambda: False) == list(range(20))


SLEEPER = """
import signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
{ignore}
print('ready', flush=True)
time.sleep(600)
"""
IGNORE = (
    "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)"
)


@pytest.mark.parametrize("ignore", ["", IGNORE])
def test_a_process_ends_with_all_that_it_started(ignore: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER.format(ignore=ignore)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    system_calls.end_session(process, 0.3)
    assert process.returncode is not None
    # The child has the same output, which ends only when nobody can write to it.
    assert process.stdout.read() == b""
    process.stdout.close()


# A Python that lacks what Windows lacks. The libraries come first: what they use is theirs.
STRIPPED = """
import importlib, json, os, signal, sys
libraries, names, modules = json.loads(sys.argv[1])
for library in libraries:
    importlib.import_module(library)
for name in names:
    for module in (os, signal):
        if hasattr(module, name):
            delattr(module, name)
sys.modules.update(dict.fromkeys(modules))
"""
CAPTURE = """
from mlflow_dvc_plugin.capturing import capture
print(capture(".").to_tags()["dvc.data.a"])
"""
COMMAND = """
import pkgutil, mlflow_dvc_plugin
from mlflow_dvc_plugin.cli import main
for found in pkgutil.walk_packages(mlflow_dvc_plugin.__path__, "mlflow_dvc_plugin."):
    if not found.name.endswith(("__main__", "_process")) and ".demo.project" not in found.name:
        importlib.import_module(found.name)
main(sys.argv[2:])
"""
PLAIN = ("subprocess", "tempfile", "sqlite3", "logging", "concurrent.futures", "yaml", "pathspec")
ALL = (*PLAIN, "mlflow", "dvc.repo", "zc.lockfile")


def run_stripped(code: str, libraries: tuple[str, ...], *args: str) -> str:
    found = [name for name in libraries if importlib.util.find_spec(name.partition(".")[0])]
    first = json.dumps([found, _ABSENT, _ABSENT_MODULES])
    command = [sys.executable, "-c", STRIPPED + code, first, *args]
    return run(*command, cwd=os.getcwd(), USERNAME="test")  # which Windows always sets


def test_capture_needs_nothing_that_windows_lacks(project: Project) -> None:
    project.add("a", "1")
    assert run_stripped(CAPTURE, PLAIN).strip() == "c4ca4238a0b923820dcc509a6f75849b"


@pytest.mark.slow
def test_status_and_find_need_nothing_that_windows_lacks(history: History) -> None:
    Project(history.project).add("a", "1")
    run_id = history.run()
    status = json.loads(run_stripped(COMMAND, ALL, "status", "--json"))
    assert status["tags"]["dvc.data.a"] == "c4ca4238a0b923820dcc509a6f75849b"
    found = json.loads(run_stripped(COMMAND, ALL, "find", "--hash", "c4ca4238", "--json"))
    assert [each["run_id"] for each in found] == [run_id]
