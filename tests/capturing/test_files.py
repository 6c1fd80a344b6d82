"""A file is read whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing.files import (
    MAX_BYTES,
    HashedFiles,
    find_signature,
    hash_bytes,
    is_fresh,
    read_file,
)
from mlflow_dvc_plugin.errors import CaptureError


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"x")
    read = os.read

    def read_while_it_grows(fd: int, size: int) -> bytes:
        data = read(fd, size)
        with path.open("ab") as file:
            file.write(b"x")
        return data

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read_while_it_grows)
        with pytest.raises(CaptureError, match="growing: the file changes while it is read"):
            read_file(os.fspath(path), "growing")
    assert len(read_file(os.fspath(path), "growing")) == path.stat().st_size > 1


def test_what_is_too_large_or_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(CaptureError, match="large: the file is larger than 268,435,456 bytes"):
        read_file(os.fspath(path), "large")
    with pytest.raises(CaptureError, match="d: this is not a regular file"):
        read_file(os.fspath(tmp_path), "d")
    with pytest.raises(CaptureError, match=r"d: cannot read the file \(No such file"):
        read_file(os.fspath(tmp_path / "gone"), "d")
    assert find_signature(os.fspath(tmp_path / "gone")) is None
    assert find_signature("a\0b") is None


def test_a_file_is_fresh_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    assert is_fresh(find_signature(os.fspath(path)), within_ns=10**12)
    os.utime(path, (1, 1))
    assert not is_fresh(find_signature(os.fspath(path)))
    assert not is_fresh(None)


def test_files_that_changed_or_are_gone_are_left_out(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    files = HashedFiles(os.fspath(tmp_path), {name: hash_bytes(name.encode()) for name in "abcd"})
    (tmp_path / "b").write_text("other")
    assert dict(files) == {"a": b"a", "c": b"c"}
    (tmp_path / "a").write_text("later")
    assert files["a"] == b"a"
    assert len(files) == 2
