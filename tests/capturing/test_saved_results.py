"""What took long is kept for the next process, and never believed if it is not whole."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.capturing import reading
from mlflow_dvc_plugin.capturing.formats import pipeline
from mlflow_dvc_plugin.capturing.memory import saved_results
from mlflow_dvc_plugin.capturing.snapshot import take_snapshot
from tests.capturing.oracle import UNJUDGED

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose lock file has a form that takes the parser."""
    monkeypatch.setattr(saved_results, "MIN_SECONDS", 0)
    monkeypatch.setattr(saved_results, "MIN_BYTES", 1)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: x, outs: [out]}}\n")
    (tmp_path / "dvc.lock").write_text(
        f"{{schema: '2.0', stages: {{a: {{cmd: x, outs: [{{path: out, md5: {MD5}}}]}}}}}}\n"
    )
    return tmp_path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    def parse_lock_outs(data: bytes) -> dict[str, Any]:
        found.append("lock")
        return original(data)

    original = pipeline.parse_lock_outs
    monkeypatch.setattr(pipeline, "parse_lock_outs", parse_lock_outs)
    return found


def hashes(root: Path) -> list[str | None]:
    """As in a process of its own that finds no saved reading."""
    reading.forget_project(str(root))
    state = take_snapshot(str(root), UNJUDGED, save=False)
    return [entry.hash for entry in state.entries]


def files(root: Path) -> list[Path]:
    return sorted((root / ".dvc" / "tmp" / "mlflow-dvc").iterdir())


def test_a_second_process_parses_nothing(root: Path, parsed: list[str]) -> None:
    assert hashes(root) == hashes(root) == [MD5]
    assert len(parsed) == 1
    lock = root / "dvc.lock"
    lock.write_text(lock.read_text().replace("0123", "3210"))
    assert hashes(root) == [MD5.replace("0123", "3210")]
    assert len(parsed) == 2


@pytest.mark.parametrize("damage", [b"", b"garbage", b"0\n{}", None])
def test_damaged_file_is_passed_over(root: Path, parsed: list[str], damage: bytes | None) -> None:
    hashes(root)
    for path in files(root):
        data = path.read_bytes()
        path.write_bytes(data.replace(b"0123", b"9999") if damage is None else damage)
    assert hashes(root) == [MD5]
    assert len(parsed) == 2


def test_what_json_would_change_is_not_kept(root: Path) -> None:
    dated = "stages: {a: {cmd: x, outs: [out], meta: {day: 2024-01-01}}}\n"
    (root / "dvc.yaml").write_text(dated)
    assert hashes(root) == hashes(root) == [MD5]
    assert len(files(root)) == 1  # that of the lock


def test_many_odd_stages_in_a_file_of_the_plain_form_are_parsed_once(
    root: Path, parsed: list[str]
) -> None:
    odd = "".join(f"  s{i}: {{cmd: x, outs: [{{path: o{i}, md5: {MD5}}}]}}\n" for i in range(60))
    plain = f"  a:\n    cmd: x\n    outs:\n    - path: out\n      md5: {MD5}\n"
    for number, times in ((49, 0), (60, 1)):
        text = "".join(odd.splitlines(keepends=True)[:number])
        (root / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n{plain}{text}")
        assert hashes(root) == hashes(root) == [MD5]
        assert len(parsed) == times


def test_small_and_quick_files_are_not_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_results, "MIN_BYTES", 20_000)
    hashes(root)
    assert not (root / ".dvc" / "tmp").exists()


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
