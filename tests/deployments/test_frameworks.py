"""Runs that frameworks start in their own ways."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tests.project import Project
from tests.project import run as execute

pytest.importorskip("lightning", reason="needs the extra `deployments`")

pytestmark = pytest.mark.slow

CSV = "a,b,y\n" + "".join(f"{n},{n % 7},{n % 2}\n" for n in range(40))


@pytest.fixture
def data(project: Project) -> Project:
    project.add("data/a.csv", CSV)
    project.write("params.yaml", "lr: 0.1\n")
    project.commit()
    return project


def runs(server: str, experiment: str) -> list[Run]:
    client = MlflowClient(server)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    listed: list[Run] = client.search_runs([found.experiment_id], max_results=1000)
    return listed


def python(project: Project, server: str, experiment: str, code: str, **env: str) -> str:
    return execute(
        sys.executable,
        *("-W", "ignore", "-c", code),
        cwd=project.path,
        check=True,
        MLFLOW_TRACKING_URI=server,
        MLFLOW_EXPERIMENT_NAME=experiment,
        **env,
    )


def tagged(found: Run) -> bool:
    tags = found.data.tags
    return "dvc.data.data/a.csv" in tags and bool({"dvc.manifest", "dvc.manifest_run"} & set(tags))


def test_pytorch_lightnings_logger(data: Project, server: str) -> None:
    code = """
import logging, torch, lightning as L
from lightning.pytorch.loggers import MLFlowLogger
class Net(L.LightningModule):
    def __init__(self):
        super().__init__(); self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, _):
        loss = self.layer(batch[0]).mean(); self.log("loss", loss); return loss
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
rows = torch.utils.data.TensorDataset(torch.ones(4, 2))
import os
logger = MLFlowLogger("lightning", tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
trainer = L.Trainer(max_epochs=1, logger=logger, enable_progress_bar=False, accelerator="cpu",
                    enable_checkpointing=False, log_every_n_steps=1, enable_model_summary=False)
trainer.fit(Net(), torch.utils.data.DataLoader(rows))
"""
    python(data, server, "lightning", code, MLFLOW_DVC_AUTOLOG="1")
    (found,) = runs(server, "lightning")
    assert tagged(found)
    assert found.data.params["lr"] == "0.1"
    assert [item.dataset.name for item in found.inputs.dataset_inputs] == ["data/a.csv"]


def test_a_grid_search_with_child_runs(data: Project, server: str) -> None:
    code = """
import mlflow, pandas as pd, mlflow_dvc_plugin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
mlflow.sklearn.autolog(log_models=False)
mlflow_dvc_plugin.autolog()
table = mlflow_dvc_plugin.from_dvc("data/a.csv", targets="y").df
GridSearchCV(LogisticRegression(), {"C": [0.1, 1, 10]}, cv=2).fit(table[["a", "b"]], table["y"])
"""
    python(data, server, "grid", code)
    found = runs(server, "grid")
    children = [item for item in found if "mlflow.parentRunId" in item.data.tags]
    assert len(found) == 4
    assert len(children) == 3
    assert all(tagged(item) for item in found)
    assert len({item.data.tags.get("dvc.manifest_run") for item in found}) == 2
    assert all(item.data.params["lr"] == "0.1" for item in found)
    assert len({item.data.params["C"] for item in children}) == 3


def test_a_notebook(data: Project, server: str) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs the extra `deployments`")
    nbformat = pytest.importorskip("nbformat")
    (data.path / "notebooks").mkdir()
    cell = (
        "import mlflow\n"
        f"mlflow.set_tracking_uri({server!r}); mlflow.set_experiment('notebook')\n"
        "with mlflow.start_run():\n    mlflow.log_metric('m', 1)\n"
    )
    again = "import pathlib; p = pathlib.Path('../data/a.csv'); p.unlink(); p.write_text('new')\n"
    cells = [nbformat.v4.new_code_cell(text) for text in (cell, again, cell)]
    book = nbformat.v4.new_notebook(cells=cells)
    environ = dict(os.environ)
    nbclient.NotebookClient(
        book, kernel_name="python3", resources={"metadata": {"path": str(data.path / "notebooks")}}
    ).execute(env=environ)
    second, first = runs(server, "notebook")
    assert tagged(first)
    assert tagged(second)
    assert first.data.tags["dvc.git_commit"] == data.git("rev-parse", "HEAD").strip()
    assert (first.data.tags["dvc.status"], second.data.tags["dvc.status"]) == ("clean", "modified")


def test_mlflow_run_of_an_mlproject(data: Project, server: str) -> None:
    data.write(
        "MLproject",
        f"name: p\nentry_points:\n  main:\n    command: {sys.executable} -W ignore train.py\n",
    )
    data.write(
        "train.py", "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('m', 1)\n"
    )
    data.commit()

    def launch(experiment: str, **env: str) -> Run:
        execute(
            *(sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local"),
            *("--experiment-name", experiment),
            cwd=data.path,
            check=True,
            MLFLOW_TRACKING_URI=server,
            **env,
        )
        (found,) = runs(server, experiment)
        return found

    # The launcher makes the run through the client, and the job resumes it: no
    # plugin is asked for tags.
    assert "dvc.schema" not in launch("mlproject").data.tags
    assert tagged(launch("mlproject-autolog", MLFLOW_DVC_AUTOLOG="1"))


def test_hydra_multirun_in_folders_of_its_own(data: Project, server: str) -> None:
    data.write("conf/config.yaml", "lr: 1\nhydra:\n  job:\n    chdir: true\n")
    data.write(
        "app.py",
        "import hydra, mlflow, os\n"
        "@hydra.main(version_base=None, config_path='conf', config_name='config')\n"
        "def main(config):\n"
        "    assert 'multirun' in os.getcwd()\n"
        "    with mlflow.start_run():\n        mlflow.log_param('rate', config.lr)\n"
        "main()\n",
    )
    execute(
        *(sys.executable, "-W", "ignore", "app.py", "-m", "lr=1,2,3"),
        cwd=data.path,
        MLFLOW_TRACKING_URI=server,
        MLFLOW_EXPERIMENT_NAME="hydra",
        MLFLOW_DVC_AUTOLOG="1",
    )
    found = runs(server, "hydra")
    assert {item.data.params["rate"] for item in found} == {"1", "2", "3"}
    assert all(tagged(item) for item in found)
    assert len({item.data.tags["dvc.data_hash"] for item in found}) == 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_eight_processes_at_once(data: Project, server: str, method: str) -> None:
    data.write(
        "pool.py",
        "import multiprocessing, sys, mlflow\n"
        "def work(n):\n"
        "    with mlflow.start_run() as run:\n        mlflow.log_param('n', n)\n"
        "    return run.info.run_id\n"
        "if __name__ == '__main__':\n"
        "    mlflow.set_experiment(sys.argv[2])\n"
        "    with mlflow.start_run(run_name='outer'):\n"
        "        with multiprocessing.get_context(sys.argv[1]).Pool(8) as pool:\n"
        "            pool.map(run_alone := work, range(8)) if sys.argv[1] == 'spawn' else None\n"
        "    if sys.argv[1] == 'fork':\n"
        "        with multiprocessing.get_context('fork').Pool(8) as pool:\n"
        "            pool.map(work, range(8))\n",
    )
    execute(
        *(sys.executable, "-W", "ignore", "pool.py", method, f"pool-{method}"),
        cwd=data.path,
        MLFLOW_TRACKING_URI=server,
        MLFLOW_EXPERIMENT_NAME=f"pool-{method}",
        MLFLOW_DVC_AUTOLOG="1",
    )
    found = runs(server, f"pool-{method}")
    assert len(found) == 9
    assert all(item.info.status == "FINISHED" for item in found)
    assert all(tagged(item) for item in found)
    assert len({item.data.tags["dvc.manifest"] for item in found}) == 1


def test_a_container_with_nothing_but_the_exported_state(
    data: Project, server: str, tmp_path: Path
) -> None:
    """As in docs/deployments.md: another folder, no Git, no DVC, no metafiles."""
    state = tmp_path / "state.json"
    command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "export", "--output", str(state)]
    execute(*command, cwd=data.path)
    empty = tmp_path / "container"
    empty.mkdir()
    code = "import mlflow\nwith mlflow.start_run() as run:\n    pass\nprint(run.info.run_id)"
    execute(
        *(sys.executable, "-W", "ignore", "-c", code),
        cwd=empty,
        MLFLOW_TRACKING_URI=server,
        MLFLOW_EXPERIMENT_NAME="container",
        MLFLOW_DVC_STATE=str(state),
        MLFLOW_DVC_AUTOLOG="1",
        PATH=str(empty),
    )
    (found,) = runs(server, "container")
    assert tagged(found)
    restore = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "restore", found.info.run_id]
    (data.path / "data/a.csv").unlink()
    answer: dict[str, Any] = json.loads(
        execute(*restore, "--json", cwd=data.path, MLFLOW_TRACKING_URI=server)
    )
    assert answer["added"] == ["data/a.csv"]
    assert (data.path / "data/a.csv").read_text() == CSV
