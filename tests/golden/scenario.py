"""A life of a project, with a run for each form that tags can have.

It is lived with the real Git, DVC and MLflow, in processes of its own: so the plugin
that is recorded is the one that a training script finds, and may be an older one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

FOLDERS = 301  # with a file each: more outs than a manifest has room for

_TRAIN = """
import sys, mlflow
name = sys.argv[1]
with mlflow.start_run(run_name=name):
    mlflow.log_metric("score", 0.5)
    if name == "parent":
        with mlflow.start_run(run_name="child", nested=True):
            pass
"""
_FIT = """
import subprocess, sys
name = sys.argv[1]
data = open("prepared/rows.txt").read()
if name == "a":
    subprocess.run([sys.executable, "train.py", "stage"], check=True)
open(f"model-{name}.bin", "w").write(name + data)
"""
_PREPARE = """
import os
os.makedirs("prepared/deep", exist_ok=True)
rows = sorted(open("data/raw.csv").read().split())
open("prepared/rows.txt", "w").write("\\n".join(rows))
open("prepared/deep/count.txt", "w").write(str(len(rows)))
"""
_PIPELINE = """
stages:
  prepare:
    cmd: python prepare.py
    deps: [data/raw.csv, prepare.py]
    outs: [prepared]
  fit:
    foreach: [a, b]
    do:
      cmd: python fit.py ${item}
      deps: [prepared, fit.py]
      outs: ["model-${item}.bin"]
"""
# Files, a folder with names that tags cannot have as they are, and a program.
_DATA = {
    "data/raw.csv": "3\n1\n2\n",
    "data/images/größe 1.txt": "one",
    "data/images/deep/er/two.bin": "\0\1\2",
    "data/images/empty": "",
    "tools/run.sh": "#!/bin/sh\necho run\n",
}
_OUTS = ("data/raw.csv", "data/images", "tools/run.sh")


@dataclass
class Scenario:
    """A project in a folder, and what its runs have to bring back.

    Attributes:
        expected: by the name of a run, the SHA-256 of each file of its data.
        roots: by the name of a run, the folder of its project in the repository.
    """

    folder: Path
    expected: dict[str, dict[str, str]] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.repo = self.folder / "repo"
        self.store = f"sqlite:///{self.folder / 'mlflow.db'}"
        home = self.folder / "home"
        home.mkdir(parents=True)
        kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")
        self._env = {name: os.environ[name] for name in kept if name in os.environ} | {
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
            "HOME": str(home),
            "DVC_SITE_CACHE_DIR": str(home / "site-cache"),
            "DVC_NO_ANALYTICS": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Golden",
            "GIT_AUTHOR_EMAIL": "golden@example.com",
            "GIT_COMMITTER_NAME": "Golden",
            "GIT_COMMITTER_EMAIL": "golden@example.com",
            "MLFLOW_TRACKING_URI": self.store,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_DVC_STATUS_BUDGET_MS": "10000",
            "DO_NOT_TRACK": "true",
        }

    def live(self) -> None:
        """Make the project, and everything that happens to it."""
        self._create()
        self._train("parent", _OUTS)
        self.expected["child"], self.roots["child"] = self.expected["parent"], "."
        self._run("dvc", "repro")
        self._commit("pipeline")
        self._expect("stage", (*_OUTS, "prepared"))
        outs = (*_OUTS, "prepared", "model-a.bin", "model-b.bin")
        self._train("clean", outs)
        self._cli("link")
        self._cli("export", "--output", str(self.folder / "state.json"))
        self._write("data/raw.csv", "7\n8\n")
        self._run("dvc", "add", "-q", "data/raw.csv")
        self._train("uncommitted", outs)
        self._expect("modified", outs)
        self._write("data/raw.csv", "nobody added this")
        self._train("modified")
        self._write("data/raw.csv", "this is saved when the run starts")
        self._train("saved", outs, MLFLOW_DVC_SAVE="1")
        self._run("git", "checkout", "-q", ".")
        self._run("dvc", "checkout", "-q", "--force")
        self._live_large()

    def _create(self) -> None:
        self.repo.mkdir()
        self._run("git", "init", "-q", "-b", "main")
        self._run("dvc", "init", "-q")
        self._run("dvc", "remote", "add", "-q", "-d", "store", "../remote")
        for name, text in {**_DATA, "prepare.py": _PREPARE, "fit.py": _FIT}.items():
            self._write(name, text)
        self._write("train.py", _TRAIN)
        self._write("dvc.yaml", _PIPELINE)
        (self.repo / "tools/run.sh").chmod(0o755)
        self._run("dvc", "add", "-q", *_OUTS)
        self._commit("data")

    def _live_large(self) -> None:
        """A project in a folder, with more outs than a manifest has room for."""
        self._run("dvc", "init", "-q", "--subdir", cwd=self._make("large"))
        self._run("dvc", "remote", "add", "-q", "-d", "store", "../../remote", cwd="large")
        names = [f"part-{number:03}/data.csv" for number in range(FOLDERS)]
        for number, name in enumerate(names):
            self._write(f"large/{name}", str(number % 3))
        self._run("dvc", "add", "-q", *names, cwd="large")
        self._commit("large")
        self._train("large", names, root="large")
        self._write(f"large/{names[0]}", "changed")
        self._run("dvc", "add", "-q", names[0], cwd="large")
        self._train("large and uncommitted", names, root="large")

    def _train(
        self, name: str, outs: tuple[str, ...] | list[str] = (), root: str = ".", **env: str
    ) -> None:
        self._run("python", str(self.repo / "train.py"), name, cwd=root, **env)
        if outs:
            self._expect(name, outs, root)

    def _expect(self, name: str, outs: tuple[str, ...] | list[str], root: str = ".") -> None:
        """Note that a run has to bring back what is in the workspace now."""
        folder = self.repo / root
        files = [
            path
            for out in outs
            for path in (
                sorted((folder / out).rglob("*")) if (folder / out).is_dir() else [folder / out]
            )
            if path.is_file()
        ]
        self.expected[name] = {
            path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
            for path in files
        }
        self.roots[name] = root

    def _write(self, name: str, text: str) -> None:
        path = self.repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(text.encode())

    def _make(self, name: str) -> str:
        (self.repo / name).mkdir()
        return name

    def _commit(self, message: str) -> None:
        self._run("git", "add", "-A")
        self._run("git", "commit", "-q", "-m", message)

    def _cli(self, *args: str) -> None:
        try:
            self._run("python", "-m", "mlflow_dvc_plugin.cli", *args)
        except RuntimeError as err:
            if "No such command" not in str(err):  # which old releases lack
                raise

    def _run(self, program: str, *args: str, cwd: str = ".", **env: str) -> str:
        command = [sys.executable, *args] if program == "python" else [program, *args]
        if program == "dvc":
            command = [sys.executable, "-m", "dvc", *args]
        done = subprocess.run(
            command,
            cwd=self.repo / cwd,
            env={**self._env, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout
