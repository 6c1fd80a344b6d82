"""The benchmark over many runs, in small."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.runs import measure


@pytest.mark.slow
def test_each_object_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_SITE_CACHE_DIR", "MLFLOW_TRACKING_URI", "PYTHONPATH"):
        monkeypatch.setenv(name, "")
    result = measure(tmp_path, runs=200, states=5, checked=40, old=0, store="sqlite", repeat=0)
    assert result["runs"] == 200
    checks = result["checks"]
    # 5 files and 10 folders; of the 10 files in the folders, 2 have a version for each state.
    assert [check["objects"] for check in checks] == [4 + 8 + 8 + 8, 5 + 10 + 10 + 8]
    assert all(check["requests"] == check["objects"] for check in checks)
