"""A real Git and DVC project for tests to work on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def run(*args: str, cwd: Path | str, check: bool = True, **env: str) -> str:
    """Run a command; its stdout. A failure shows what the command printed."""
    done = subprocess.run(
        args, cwd=cwd, capture_output=True, text=True, env={**os.environ, **env}, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{args} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Project:
    path: Path

    @classmethod
    def create(cls, path: Path, git: bool = True, subdir: str = "") -> Project:
        """Make a project at `path` (below its Git root in `subdir`)."""
        root = path / subdir
        root.mkdir(parents=True)
        made = cls(root)
        if git:
            run("git", "init", "-q", "-b", "main", cwd=path)
        made.dvc("init", "-q", *(["--subdir"] if subdir else [] if git else ["--no-scm"]))
        return made

    def git(self, *args: str) -> str:
        return run("git", *args, cwd=self.path)

    def dvc(self, *args: str, check: bool = True, **env: str) -> str:
        return run(sys.executable, "-m", "dvc", *args, cwd=self.path, check=check, **env)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file, with its folders; a file that DVC linked is replaced, not written to."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def add(self, name: str, content: str | bytes | None = None) -> None:
        """`dvc add` a path, after writing `content` to it if given."""
        if content is not None:
            self.write(name, content)
        self.dvc("add", "-q", name)

    def commit(self, message: str = "commit") -> str:
        """Commit everything; the commit's hash."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def remote(self, path: Path, name: str = "store") -> None:
        """Make a local folder the default remote."""
        path.mkdir(parents=True, exist_ok=True)
        self.dvc("remote", "add", "-q", "-d", "-f", name, str(path))

    def data_status(self) -> dict[str, Any]:
        """What `dvc data status --json` says, without Git's side of it."""
        status: dict[str, Any] = json.loads(self.dvc("data", "status", "--json", "--granular"))
        return {key: value for key, value in status.items() if key in ("uncommitted", "not_in_cache")}
