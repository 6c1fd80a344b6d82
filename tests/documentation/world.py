"""What the pages talk about: a project with data, runs, a registered model and a remote."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from hashlib import md5
from pathlib import Path

from mlflow.tracking import MlflowClient

from tests.project import Project, run

PROCESS = """\
from pathlib import Path

rows = Path("data/raw/customers.csv").read_text().splitlines()
Path("data/processed").mkdir(exist_ok=True)
for name, part in (("train", rows[1::2]), ("test", rows[2::2])):
    Path(f"data/processed/{name}.csv").write_text("\\n".join([rows[0], *part]) + "\\n")
"""
TRAIN = """\
import json
import pickle
from pathlib import Path

import mlflow

rows = Path("data/processed/train.csv").read_text().splitlines()[1:]
accuracy = 1 - 1 / len(rows)
mlflow.set_experiment("churn")
with mlflow.start_run():
    mlflow.log_metric("accuracy", accuracy)
Path("models").mkdir(exist_ok=True)
Path("models/model.pkl").write_bytes(pickle.dumps(len(rows)))
Path("metrics.json").write_text(json.dumps({"accuracy": accuracy}))
"""
PIPELINE = """\
stages:
  process:
    cmd: python process.py
    deps: [data/raw, process.py]
    outs: [data/processed]
  train:
    cmd: python train.py
    deps: [data/processed, train.py]
    params: [lr]
    outs: [models/model.pkl]
    metrics: [{metrics.json: {cache: false}}]
"""
ANNA = "name,city\nAnna,Graz\n"
QUESTIONS = [
    {"inputs": {"question": "1+1"}, "outputs": "2", "expectations": {"answer": "2"}},
    {"inputs": {"question": "1+2"}, "outputs": "4", "expectations": {"answer": "3"}},
]


class World:
    """The project is a clone whose data was pushed; each page gets it as it was at first.

    Attributes:
        first, second: the ids of runs in a stage; the second is on more data.
        outside: the id of a run outside a stage.
    """

    def __init__(self, base: Path, empty_store: Path, commands: str) -> None:
        self._base, self._backup = base / "world", base / "backup"
        self._numbers = itertools.count()
        self._base.mkdir(parents=True)
        self.store = f"sqlite:///{self._base}/mlflow.db"
        self.remote = self._base / "remote"
        shutil.copyfile(empty_store, self._base / "mlflow.db")
        self.project = Project.create(self._base / "project")
        self.env = {"MLFLOW_TRACKING_URI": self.store, "REPOSITORY": str(self.project.path)}
        self._build(commands)
        shutil.copytree(self._base, self._backup, symlinks=True)

    def reset(self) -> None:
        """Make everything as it was at first, in the same place."""
        shutil.rmtree(self._base)
        shutil.copytree(self._backup, self._base, symlinks=True)

    def _build(self, commands: str) -> None:
        project, env = self.project, self.environment(commands)
        project.remote(self.remote)
        for name, text in {
            "process.py": PROCESS,
            "train.py": TRAIN,
            "dvc.yaml": PIPELINE,
            "params.yaml": "lr: 0.1\n",
            ".gitignore": "/mlruns\n",
        }.items():
            project.write(name, text)
        project.add("people/anna.csv", ANNA)
        project.add("data/customers.csv", _table(20))
        project.add("data/test.csv", _table(12))
        questions = "".join(f"{json.dumps(each)}\n" for each in QUESTIONS)
        project.add("data/questions.jsonl", questions)
        client = MlflowClient(self.store)
        experiment = client.create_experiment("churn", f"file://{self._base}/artifacts")
        client.create_registered_model("churn")
        runs = []
        for rows in (40, 60):
            project.write("data/raw/customers.csv", _table(rows))
            project.add("data/raw")
            project.commit(f"Have {rows} customers")
            run("dvc", "repro", "-q", cwd=project.path, check=True, **env)
            project.commit("Train")
            project.push()
            (newest, *_) = client.search_runs([experiment])
            runs.append(newest.info.run_id)
            client.create_model_version("churn", f"file://{self._base}/model", runs[-1])
        self.first, self.second = runs
        client.set_registered_model_alias("churn", "champion", "1")
        run("python", "train.py", cwd=project.path, check=True, **env)
        (newest, *_) = client.search_runs([experiment])
        self.outside = newest.info.run_id

    def substitute(self, code: str, first: str = "") -> str:
        """The code of a page, with the names of this world for those that pages have.

        Args:
            code: of one block.
            first: what stands for RUN, instead of the first run.
        """
        for name, value in {
            "http://mlflow:5000": self.store,
            "s3://bucket/dvc": str(self.remote),
            "1a2b3c4d": self.first[:8],
            "5e6f7a8b": self.second[:8],
            "3a5441509a24f6cef8fb9e841eb3bfb0": md5(ANNA.encode()).hexdigest(),
            "811828a6": self._hash("data/processed/train.csv")[:8],
            "/tmp/": f"{self._base}/",
        }.items():
            code = code.replace(name, value)
        code = code.replace("RUN -- ", f"{self.outside} -- ")
        words = {"RUN": first or self.first, "OTHER": self.second, "NAME": "churn"}
        code = re.sub(r"\b(RUN|OTHER|NAME)\b", lambda match: words[match[0]], code)
        # Nobody is there to be asked.
        code = re.sub(r"mlflow-dvc (rerun|forget(?=.* --delete))", r"\g<0> --yes", code)
        return re.sub(r"\bDIR\b", lambda _: f"../folder-{next(self._numbers)}", code)

    def _hash(self, name: str) -> str:
        return md5((self.project.path / name).read_bytes()).hexdigest()

    def environment(self, commands: str) -> dict[str, str]:
        """The environment of a page's blocks."""
        path = os.pathsep.join([commands, os.environ["PATH"]])
        return {**os.environ, **self.env, "PATH": path, "PYTHONWARNINGS": "ignore"}


def _table(rows: int) -> str:
    lines = [f"{n},{n * 7 % 31},{n % 2}" for n in range(rows)]
    return "\n".join(["customer,age,churn", *lines]) + "\n"
