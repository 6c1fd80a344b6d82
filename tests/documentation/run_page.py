"""Execute the blocks of a page, in order, in one process: the Python blocks share their names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any


def main(path: str) -> None:
    """Execute the blocks in a JSON file: a list of `{where, language, code}`."""
    with open(path, encoding="utf-8") as file:
        blocks = json.load(file)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        where, code = block["where"], block["code"]
        if block["language"] == "python":
            exec(compile(code, where, "exec"), names)
        else:
            _execute_shell(where, code)


def _execute_shell(where: str, code: str) -> None:
    """Execute a block as the next lines of one shell: its folder and variables stay."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as left:
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", f"{code}\nenv -0 > {left.name}"],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{where} exited with {done.returncode}:\n{code}")
        items = (item.partition("=") for item in left.read().split("\0") if item)
        os.environ.update((name, value) for name, _, value in items)
    os.chdir(os.environ["PWD"])
