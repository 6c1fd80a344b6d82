"""Everything side by side, in one go, as ratios.

    python -m benchmarks [capture] [restore] [saving] [--small] [--repeat N] [--json FILE]

``benchmarks.runs`` needs a PostgreSQL server, and is run by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

from benchmarks import capture, restore, saving
from benchmarks.measure import Row, table

# Where archives of real projects' metafiles are, if they are.
_REAL = Path(
    os.environ.get("MLFLOW_DVC_TEST_PROJECTS")
    or Path(__file__).resolve().parents[2] / "shared" / "projects"
)


def _capture(folder: Path, small: bool, repeat: int) -> list[Row]:
    return capture.measure(folder, small, repeat, None if small else _REAL)


def _restore(folder: Path, small: bool, repeat: int) -> list[Row]:
    rows = []
    for name, benchmark in restore.BENCHMARKS.items():
        rows += benchmark(folder / name, 0.001 if small else 1.0, repeat)
        shutil.rmtree(folder / name)
    return rows


BENCHMARKS = {"capture": _capture, "restore": _restore, "saving": saving.measure}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("which", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--small", action="store_true", help="only to see that it works")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is timed")
    parser.add_argument("--json", type=Path, help="where to write the rows as JSON")
    args = parser.parse_args(arguments)
    if unknown := set(args.which) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    rows = []
    for name in args.which or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            rows += BENCHMARKS[name](Path(folder), args.small, 1 if args.small else args.repeat)
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps([row.to_dict() for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
