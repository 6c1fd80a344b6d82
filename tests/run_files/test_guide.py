"""Every block of docs/data-anywhere.md runs as it stands, with a store and a remote of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.history import History
from tests.run_files.conftest import FILES, Stored

pytestmark = [pytest.mark.slow]

GUIDE = Path(__file__).parents[2] / "docs/data-anywhere.md"
IMAGES = sum(len(data) for name, data in FILES.items() if name.startswith("data/images/"))


@pytest.fixture
def champion(stored: Stored, history: History) -> Stored:
    """The run as a model with an alias, as the guide names it."""
    history.client.create_registered_model("churn")
    history.client.create_model_version("churn", "file:///nowhere", run_id=stored.run_id)
    history.client.set_registered_model_alias("churn", "champion", "1")
    return stored


def block(language: str, word: str) -> str:
    """The block of the guide that has a word."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (found,) = (str(each) for each in blocks if word in each)
    return found


def execute(champion: Stored, history: History, language: str, code: str) -> str:
    code = code.replace("http://mlflow:5000", history.uri)
    code = code.replace("s3://bucket/dvc", str(champion.remote))
    Path("guide").write_text(code)
    command = ["sh", "-e", "guide"] if language == "sh" else [sys.executable, "guide"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **ENV}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Ray must stay on the loopback interface, and send nothing.
ENV = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "PYTHONWARNINGS": "ignore",
}


def test_in_a_container(champion: Stored, history: History) -> None:
    shown = execute(champion, history, "sh", block("sh", "export MLFLOW_DVC_URL"))
    assert "data/images/" in shown
    found = {
        str(p.relative_to("data")): p.read_bytes() for p in Path("data").rglob("*") if p.is_file()
    }
    assert found == FILES


def test_in_a_ci_job(champion: Stored, history: History) -> None:
    os.environ.pop("MLFLOW_DVC_URL")
    shown = execute(champion, history, "sh", block("sh", "--config"))
    assert shown.splitlines()[-1] == "a,b"
    assert Path("fetched/data/raw.csv").read_bytes() == FILES["data/raw.csv"]
    assert len([p for p in Path(".dvc-cache/files/md5").rglob("*") if p.is_file()]) == 1


def test_in_a_notebook(champion: Stored, history: History) -> None:
    os.environ.pop("MLFLOW_DVC_URL")
    code = block("python", "files.get(") + "print(frame.to_csv(index=False), end='')\n"
    assert execute(champion, history, "python", code).encode() == FILES["data/raw.csv"]
    assert Path("images/1.txt").read_bytes() == b"one"


def test_with_arrow_and_polars(champion: Stored, history: History) -> None:
    pytest.importorskip("polars", reason="needs the extra `deployments`")
    code = block("python", "pyarrow") + (
        "assert table.to_pydict() == {'a': [1, 3], 'b': [2, 4]}\n"
        "assert frame.to_dict(as_series=False) == table.to_pydict()\n"
        "assert lazy.collect().to_dict(as_series=False) == table.to_pydict()\n"
    )
    execute(champion, history, "python", code)


def test_by_address(champion: Stored, history: History) -> None:
    code = block("python", "import fsspec") + "print(frame['b'].sum(), header, path)\n"
    shown = execute(champion, history, "python", code).split()
    assert shown[:2] == ["6", "a,b"]
    assert Path(shown[2], "1.txt").read_bytes() == b"one"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_the_workers_of_a_data_loader(champion: Stored, history: History, method: str) -> None:
    pytest.importorskip("torch", reason="needs the extra `deployments`")
    code = block("python", "DataLoader").replace(
        "num_workers=2", f"num_workers=2, multiprocessing_context={method!r}"
    )
    # The parent uses its own connections first.
    code = code.replace("    loader =", "    assert files.cat('model.bin')\n    loader =")
    assert execute(champion, history, "python", code).split()[-1] == str(IMAGES)


@pytest.mark.xdist_group("clusters")
def test_in_ray(champion: Stored, history: History) -> None:
    pytest.importorskip("ray", reason="needs the extra `clusters`")
    code = block("python", "ray.init").replace(
        "ray.init(", "ray.init(include_dashboard=False, num_cpus=2"
    )
    assert execute(champion, history, "python", code).split()[-1] == str(IMAGES)
