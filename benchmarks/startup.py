"""Processor time of commands that only print help, above that of Python itself.

    python -m benchmarks.startup [--repeat 40]

Each command is run in turn with an empty Python, so that both meet the same machine. Figures are
medians of the differences. With ``--json`` they are written as seconds by command.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

# Seconds above Python itself.
TARGETS = {"--version": 0.1, "--help": 0.15, "restore --help": 0.15, "find --help": 0.15}
_NOTHING = (sys.executable, "-c", "pass")


def _run(command: Sequence[str]) -> float:
    """The processor time of a process and all that it started, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(repeat: int) -> dict[str, float]:
    """The seconds above Python itself, by the command's arguments."""
    script = os.path.join(sysconfig.get_path("scripts"), "mlflow-dvc")
    found: dict[str, list[float]] = {args: [] for args in TARGETS}
    for turn in range(repeat + 1):
        for args, times in found.items():
            nothing = _run(_NOTHING)
            took = _run([script, *args.split()])
            if turn:  # the first may compile
                times.append(took - nothing)
    return {args: statistics.median(times) for args, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--repeat", type=int, default=40, help="how often each is timed")
    parser.add_argument("--json", type=Path, help="where to write the seconds as JSON")
    args = parser.parse_args()
    found = measure(args.repeat)
    for command, seconds in found.items():
        target = TARGETS[command]
        missed = "" if seconds <= target else "  missed"
        print(f"mlflow-dvc {command:16} {seconds * 1000:6.1f} ms  target {target * 1000:g}{missed}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
