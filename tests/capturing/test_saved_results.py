"""Results are saved for the next process, and never believed if they are damaged."""

from __future__ import annotations

import datetime as dt
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.capturing.formats.yaml import Timestamp
from mlflow_dvc_plugin.capturing.memory import saved_results


def test_what_json_would_change_is_recognised() -> None:
    assert saved_results.is_json({"a": [1, 1.5, "x", None, True, {"b": []}]})
    for value in ({1: "a"}, {"a": (1,)}, [dt.date(2024, 1, 1)], Timestamp("2024-01-01")):
        assert not saved_results.is_json(value)


@pytest.mark.parametrize("damage", [b"", b"garbage", b"0\n{}", None])
def test_damaged_file_is_passed_over(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "one.json"
    saved_results.save_result(str(path), {"hash": "0123"})
    assert saved_results.load_result(str(path)) == {"hash": "0123"}
    data = path.read_bytes()
    path.write_bytes(data.replace(b"0123", b"9999") if damage is None else damage)
    assert saved_results.load_result(str(path)) is None


def test_number_and_size_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_results, "_MAX_FILES", 5)
    left = tmp_path / "left.new"
    left.write_text("")
    os.utime(left, (0, 0))
    for number in range(20):
        saved_results.save_result(str(tmp_path / f"{number:02d}.json"), {"number": number})
        time.sleep(0.01)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == [f"{number}.json" for number in range(15, 20)]
    monkeypatch.setattr(saved_results, "_MAX_TOTAL", 10)
    saved_results.save_result(str(tmp_path / "last.json"), {"number": 100})
    assert list(tmp_path.iterdir()) == []


def test_many_writers_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "one.json")
    value = {"text": "x" * 100_000}

    def write_and_read(_: int) -> Any:
        saved_results.save_result(path, value)
        return saved_results.load_result(path)

    with ThreadPoolExecutor(64) as pool:
        assert all(found == value for found in pool.map(write_and_read, range(256)))
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]
