"""The benchmarks run; what they find on a busy machine is no test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_benchmark_of_capture(tmp_path: Path) -> None:
    found = tmp_path / "rows.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "capture", "--small", "--json", str(found)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(found.read_text())
    assert all(row["ours"] > 0 and row["theirs"] > 0 for row in rows if row["unit"] == "s")
    assert {row["target"] for row in rows} >= {0.005, 1 / 15, 1 / 25, 1, 1.05, 1.2, 12}
    assert [line for line in done.stdout.splitlines() if "start_run" in line]
