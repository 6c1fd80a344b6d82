"""A hash is that of the very file, or none."""

from __future__ import annotations

import os
import time
from hashlib import md5
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing.saving import progress_line
from mlflow_dvc_plugin.capturing.workspace import hashing
from mlflow_dvc_plugin.capturing.workspace.folders import list_folder
from mlflow_dvc_plugin.capturing.workspace.hashing import find_known_hash, hash_file
from mlflow_dvc_plugin.capturing.workspace.state_database import StateDatabase

NEVER = float("inf")


def hashed(path: Path, info: os.stat_result, name: str = "md5", until: float = NEVER) -> str | None:
    return hash_file(os.fspath(path), info, name, until)


def test_a_file_that_changed_or_went_or_takes_too_long_has_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a\r\nb")
    info = path.stat()
    assert hashed(path, info) == md5(b"a\r\nb").hexdigest()
    assert hashed(path, info, "md5-dos2unix") == md5(b"a\nb").hexdigest()
    assert hashed(path, info, until=time.monotonic()) is None
    path.write_bytes(b"other bytes")
    assert hashed(path, info) is None
    path.unlink()
    assert hashed(path, info) is None


def test_a_large_file_is_given_up_when_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 3_000_000)
    monkeypatch.setattr(hashing, "_CHUNK", 1_000)
    monkeypatch.setattr(hashing, "_BYTES_PER_SECOND", NEVER)
    parts: list[int] = []
    info = path.stat()
    until = time.monotonic() + 0.001
    assert hash_file(os.fspath(path), info, "md5", until, parts.append) is None
    assert sum(parts) < 3_000_000


def test_what_is_remembered_of_files_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_MAX_HASHES", 2)
    infos = {}
    for name in "abc":
        (tmp_path / name).write_text(name)
        infos[name] = (tmp_path / name).stat()
        later = infos[name].st_ctime_ns + 10**12
        hashing.remember_hash(name, infos[name], "md5", name, later)
    known = [find_known_hash(name, info, "md5") for name, info in infos.items()]
    assert known[2] == "c"
    assert None in known


def test_a_folder_that_cannot_be_listed_in_time_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow_dvc_plugin.capturing.workspace.folders._CHECK_EVERY", 1)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").touch()
    project = os.fspath(tmp_path)
    assert set(list_folder(project, "d", NEVER) or ()) == {"a"}
    assert list_folder(project, "d", 0) is None
    assert list_folder(project, "gone", NEVER) is None
    (tmp_path / "d" / "broken").symlink_to("gone")
    assert list_folder(project, "d", NEVER) is None


def test_a_database_in_a_folder_that_is_gone_is_empty(tmp_path: Path) -> None:
    database = StateDatabase(os.fspath(tmp_path / "gone" / "cache.db"))
    assert database.find_records(["a"]) == {}
    database.close()
    assert database.find_records_below("/") == {}


def test_progress_is_lost_with_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_line, "_DELAY", -1.0)
    with (tmp_path / "closed").open("w") as closed:
        pass
    for stream in (closed, None):
        monkeypatch.setattr("sys.stderr", stream)
        line = progress_line.ProgressLine()
        line.begin("a", 10)
        line.advance(5)
        line.close()
