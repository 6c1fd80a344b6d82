"""Copying: right to the last byte, and no more at a time than memory holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_dvc_plugin.copying import copy, in_threads


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000])
def test_a_copy_has_the_bytes_and_tells_their_md5(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    found, info = copy(str(tmp_path / "a"), str(tmp_path / "b"))
    assert found == hashlib.md5(data).hexdigest()
    assert (tmp_path / "b").read_bytes() == data
    assert (info.st_ino, info.st_size) == (os.stat(tmp_path / "b").st_ino, size)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        copy(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "b").read_text() == "b"


def test_all_pieces_are_done_and_few_wait() -> None:
    asked, done = [], []

    def pieces() -> Iterator[int]:
        for number in range(1000):
            asked.append(number)
            yield number

    for result in in_threads(lambda number: number * 2, pieces(), 2):
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
        list(in_threads(work, range(1000), 2))
    assert len(begun) < 100
