"""A real Git and DVC project for tests to work on."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from dvc.config import Config
from dvc.repo import Repo
from dvc.utils.serialize import dumps_yaml

from tests import forkserver


def run(*args: str, cwd: Path | str, check: bool = True, **env: str) -> str:
    """Run a command; its stdout. A failure shows what the command printed."""
    done = subprocess.run(
        args, cwd=cwd, capture_output=True, text=True, env={**os.environ, **env}, check=False
    )
    return checked(done) if check else done.stdout


def checked(done: subprocess.CompletedProcess[str]) -> str:
    """The stdout of a command that has to succeed."""
    if done.returncode:
        raise AssertionError(f"{done.args} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Project:
    path: Path

    @classmethod
    def create(cls, path: Path, git: bool = True, subdir: str = "") -> Project:
        """Make a project at `path` (below its Git root in `subdir`)."""
        shutil.copytree(
            _template(git, subdir), path, symlinks=True, ignore=shutil.ignore_patterns("*.sample")
        )
        return cls(path / subdir)

    def git(self, *args: str) -> str:
        return run("git", *args, cwd=self.path)

    def dvc(self, *args: str, check: bool = True, **env: str) -> str:
        done = forkserver.DVC.run("-m", "dvc", *args, cwd=self.path, env={**os.environ, **env})
        return checked(done) if check else done.stdout

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
        with self.opened() as repo:
            repo.add(str(self.path / name))

    def add_files(self, folder: str, contents: dict[str, bytes]) -> None:
        """Leave what `dvc add` of each file of a folder leaves: for many it takes too long."""
        for name, content in contents.items():
            self.write(f"{folder}/{name}", content)
            value = md5(content).hexdigest()
            out = {"md5": value, "size": len(content), "hash": "md5", "path": name}
            self.write(f"{folder}/{name}.dvc", dumps_yaml({"outs": [out]}))
            stored = self.write(f".dvc/cache/files/md5/{value[:2]}/{value[2:]}", content)
            stored.chmod(0o444)
        ignored = {f"/{name}\n" for name in contents}
        gitignore = self.path / folder / ".gitignore"
        if gitignore.exists():
            ignored |= set(gitignore.read_text().splitlines(keepends=True))
        gitignore.write_text("".join(sorted(ignored)))

    def push(self) -> None:
        """`dvc push`."""
        with self.opened() as repo:
            repo.push()

    @contextmanager
    def opened(self) -> Iterator[Repo]:
        """The project as DVC's own API sees it: much quicker than a process."""
        repo = Repo(str(self.path))
        try:
            yield repo
        finally:
            repo.close()

    def commit(self, message: str = "commit") -> str:
        """Commit everything; the commit's hash."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def remote(self, path: Path, name: str = "store") -> None:
        """Make a local folder the default remote."""
        path.mkdir(parents=True, exist_ok=True)
        with Config(str(self.path / ".dvc")).edit() as config:
            config["remote"][name] = {"url": str(path)}
            config["core"]["remote"] = name

    def data_status(self) -> dict[str, Any]:
        """What `dvc data status --granular` says of workspace and cache; empty if all is well."""
        with self.opened() as repo:
            status = repo.data_status(granular=True)
        shown = {key: status[key] for key in ("uncommitted", "not_in_cache")}
        return {key: value for key, value in shown.items() if value}

    def lose(self, *names: str) -> None:
        """Delete the cache, and these paths of the workspace."""
        shutil.rmtree(self.path / ".dvc" / "cache", ignore_errors=True)
        for name in names:
            target = self.path / name
            shutil.rmtree(target) if target.is_dir() else target.unlink()


_templates = tempfile.TemporaryDirectory(prefix="mlflow-dvc-templates-")


@functools.cache
def _template(git: bool, subdir: str) -> Path:
    """A new project, to copy: making one takes much longer."""
    path = Path(tempfile.mkdtemp(dir=_templates.name))
    root = path / subdir
    root.mkdir(parents=True, exist_ok=True)
    if git:
        run("git", "init", "-q", "-b", "main", cwd=path)
    Repo.init(str(root), subdir=bool(subdir), no_scm=not git).close()
    return path
