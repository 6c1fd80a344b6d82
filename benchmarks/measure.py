"""Time things side by side: interleaved, several times, medians and ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Sample:
    """What one contender took, one figure for each repetition.

    Attributes:
        seconds: wall time.
        peak: the largest resident memory of its process, in bytes.
    """

    seconds: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def median_peak(self) -> float:
        return statistics.median(self.peak)


@dataclass
class Row:
    """One line of the table: two contenders and the ratio that is aimed at."""

    what: str
    ours: float
    theirs: float
    target: float | None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "ratio": self.ratio}


def process(command: Sequence[str], cwd: Path, env: dict[str, str]) -> tuple[float, int]:
    """Run a process; its wall time in seconds and its peak memory in bytes.

    The peak is asked of the process while it runs: what the system accounts for
    afterwards includes that of the process it was forked off.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=said
        )
        peak = 0
        while child.poll() is None:
            peak = max(peak, _peak(child.pid))
            time.sleep(0.005)
        took = time.perf_counter() - started
        if child.returncode:
            said.seek(0)
            raise RuntimeError(f"{command} exited {child.returncode}: {said.read().decode()}")
    return took, peak


def _peak(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def interleaved(
    contenders: dict[str, Callable[[], tuple[float, int]]], repeat: int
) -> dict[str, Sample]:
    """Call the contenders in turn, `repeat` times, after one turn that is not counted."""
    samples = {name: Sample() for name in contenders}
    for turn in range(repeat + 1):
        for name, call in contenders.items():
            seconds, peak = call()
            if turn:
                samples[name].seconds.append(seconds)
                samples[name].peak.append(peak)
    return samples


def table(rows: Sequence[Row]) -> str:
    """The rows as text for a person."""
    lines = [f"{'':58} {'ours':>11} {'theirs':>11} {'ratio':>7} {'target':>7}"]
    for row in rows:
        target = "" if row.target is None else f"{row.target:g}"
        met = "" if row.target is None or row.ratio <= row.target else "  missed"
        ours, theirs = f"{row.ours:.4g} {row.unit}", f"{row.theirs:.4g} {row.unit}"
        lines.append(f"{row.what:58} {ours:>11} {theirs:>11} {row.ratio:7.3f} {target:>7}{met}")
    return "\n".join(lines)
