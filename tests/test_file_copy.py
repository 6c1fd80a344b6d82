"""Copying: right to the last byte, and no more at a time than memory holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_dvc_plugin.file_copy import clone, copy, create_file, run_in_threads


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000])
def test_a_copy_has_the_bytes_and_tells_their_md5(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    with create_file(str(tmp_path / "b")) as new:
        found, info = copy(str(tmp_path / "a"), new)
    assert found == hashlib.md5(data).hexdigest()
    assert (tmp_path / "b").read_bytes() == data
    assert (info.st_ino, info.st_size) == (os.stat(tmp_path / "b").st_ino, size)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError), create_file(str(tmp_path / "b")):
        pass
    assert (tmp_path / "b").read_text() == "b"


@pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="the system cannot")
def test_a_clone_has_the_bytes(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(data)
    with create_file(str(target)) as new:
        info = clone(str(source), new, source.stat())
    assert info is not None
    assert (info.st_ino, info.st_size) == (target.stat().st_ino, len(data))
    assert target.read_bytes() == data


@pytest.mark.parametrize("change", ["longer", "shorter", "other bytes", "another file"])
def test_no_clone_is_made_of_a_file_that_was_touched(tmp_path: Path, change: str) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"x" * 1000)
    os.utime(source, (1, 1))
    known = source.stat()
    if change == "another file":
        (tmp_path / "other").write_bytes(b"y" * 1000)
        os.utime(tmp_path / "other", (1, 1))
        os.replace(tmp_path / "other", source)
    else:
        source.write_bytes(b"y" * {"longer": 1001, "shorter": 999, "other bytes": 1000}[change])
    with create_file(str(target)) as new:
        assert clone(str(source), new, known) is None
        assert target.stat().st_size == 0
        copy(str(source), new)
    assert target.read_bytes() == source.read_bytes()


def test_all_pieces_are_done_and_few_wait() -> None:
    asked, done = [], []

    def pieces() -> Iterator[int]:
        for number in range(1000):
            asked.append(number)
            yield number

    for result in run_in_threads(lambda number: number * 2, pieces(), 2):
        done.append(result)
        assert len(asked) - len(done) <= 16
    assert sorted(done) == [number * 2 for number in range(1000)]


def test_after_a_failure_no_more_is_begun() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(run_in_threads(work, range(1000), 2))
    assert len(begun) < 100
