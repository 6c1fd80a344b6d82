"""Record the demo as docs/images/demo.svg, an animation without scripts.

It runs the real demo, which takes half a minute: `python docs/scripts/recording.py`.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

IMAGE = Path(__file__).parents[1] / "images/demo.svg"
COLUMNS, ROWS = 112, 26  # of the window
LINE = 24.4  # height of a line, in the units of Rich
SHORTEST, LONGEST = 0.06, 0.9  # seconds that a line waits for the next one
FOLDER = "/tmp/demo"
STYLES = (
    (re.compile(r"\d/5 .*"), "bold"),
    (re.compile(r"\$ .*"), "bold cyan"),
    (re.compile(r"Proved: .*|identical$|up to date"), "bold green"),
    (re.compile(r"^  [AM]  .*"), "yellow"),
)


class Line(NamedTuple):
    """A line of the demo's output, and how many seconds the next one took."""

    text: str
    seconds: float


def main() -> None:
    """Run the demo, and write the image."""
    IMAGE.write_text(draw([Line("$ mlflow-dvc demo", LONGEST), *run_demo()]), encoding="utf-8")


def run_demo() -> Iterator[Line]:
    """The lines of the demo up to its proof, as they come."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-u", "-m", "mlflow_dvc_plugin.cli", "demo", f"{folder}/demo"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
        assert process.stdout is not None
        text, before = "", time.monotonic()
        for line in process.stdout:
            now = time.monotonic()
            if text:
                yield Line(text, min(max(now - before, SHORTEST), LONGEST))
            text, before = line.rstrip().removeprefix(" " * 5) or " ", now
            text = text.replace(f"{folder}/demo", FOLDER)
            if text.startswith("Proved: "):
                yield Line(text, 0)
                text = ""
            if text == "Try next:":
                break
        process.communicate()
        if process.returncode:
            raise SystemExit(f"The demo failed: exit code {process.returncode}.")


def draw(lines: list[Line]) -> str:
    """The animation: each line appears when its time has come, and the window scrolls."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in lines:
        text = Text(line.text, no_wrap=True, overflow="ellipsis")
        for pattern, style in STYLES:
            text.highlight_regex(pattern, style)
        console.print(text)
    starts = [0.0, *accumulate(line.seconds for line in lines)][: len(lines)]
    return console.export_svg(code_format=_build_format(starts), unique_id="demo")


def _build_format(starts: list[float]) -> str:
    """What Rich fills: its own frame has fonts from another server, and does not move."""
    total = starts[-1] or 1.0
    hidden = max(0, len(starts) - ROWS)
    appear = "".join(
        f'[clip-path="url(#demo-line-{n})"]{{animation-delay:{start:.2f}s}}'
        for n, start in enumerate(starts)
    )
    moves = "".join(
        f"{100 * start / total:.2f}%{{transform:translateY({-LINE * (n - ROWS + 1):.1f}px)}}"
        for n, start in enumerate(starts)
        if n >= ROWS
    )
    css = (
        "text{font:20px ui-monospace,Menlo,Consolas,monospace;animation:appear 1ms backwards}"
        f"{appear}@keyframes appear{{from{{opacity:0}}}}"
        f".all{{transform:translateY({-LINE * hidden:.1f}px);"
        f"animation:{total:.2f}s step-end scroll}}"
        f"@keyframes scroll{{0%{{transform:none}}{moves}}}"
        "@media(prefers-reduced-motion){text,.all{animation:none}}"
    )
    css = css.replace("{", "{{").replace("}", "}}")  # for str.format
    height = LINE * ROWS + 32
    return (
        (
            '<svg viewBox="0 0 {width} HEIGHT" xmlns="http://www.w3.org/2000/svg">'
            f"<style>{css}{{styles}}</style>"
            '<defs><clipPath id="window"><rect y="1.8" width="{width}" height="ROWS"/></clipPath>'
            "{lines}</defs>"
            '<rect width="{width}" height="HEIGHT" rx="10" fill="#1e2428"/>'
            '<g transform="translate(16,16)" clip-path="url(#window)"><g class="all">'
            "{backgrounds}{matrix}</g></g></svg>\n"
        )
        .replace("HEIGHT", f"{height:.0f}")
        .replace("ROWS", f"{LINE * ROWS:.1f}")
    )


if __name__ == "__main__":
    main()
