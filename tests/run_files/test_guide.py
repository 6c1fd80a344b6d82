"""Every block of docs/data-anywhere.md runs as it stands, with a store and a remote of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation.blocks import PYTHON, Block, find_block
from tests.history import History
from tests.run_files.conftest import FILES, Stored

pytestmark = [pytest.mark.slow]

IMAGES = sum(len(data) for name, data in FILES.items() if name.startswith("data/images/"))


@pytest.fixture
def champion(stored: Stored, history: History) -> Stored:
    """The run as a model with an alias, as the guide names it."""
    history.client.create_registered_model("churn")
    history.client.create_model_version("churn", "file:///nowhere", run_id=stored.run_id)
    history.client.set_registered_model_alias("churn", "champion", "1")
    return stored


def execute(champion: Stored, history: History, block: Block, code: str = "") -> str:
    """Execute a block, or the code that was made of it."""
    code = (code or block.code).replace("http://mlflow:5000", history.uri)
    code = code.replace("s3://bucket/dvc", str(champion.remote))
    Path("guide").write_text(code)
    command = [sys.executable, "guide"] if block.language in PYTHON else ["sh", "-e", "guide"]
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
    shown = execute(champion, history, find_block("docs/data-anywhere.md", "export MLFLOW_DVC_URL"))
    assert "data/images/" in shown
    found = {
        str(p.relative_to("data")): p.read_bytes() for p in Path("data").rglob("*") if p.is_file()
    }
    assert found == FILES


def test_in_a_ci_job(champion: Stored, history: History) -> None:
    os.environ.pop("MLFLOW_DVC_URL")
    shown = execute(champion, history, find_block("docs/data-anywhere.md", "--config"))
    assert shown.splitlines()[-1] == "a,b"
    assert Path("fetched/data/raw.csv").read_bytes() == FILES["data/raw.csv"]
    assert len([p for p in Path(".dvc-cache/files/md5").rglob("*") if p.is_file()]) == 1


def test_in_a_notebook(champion: Stored, history: History) -> None:
    os.environ.pop("MLFLOW_DVC_URL")
    block = find_block("docs/data-anywhere.md", "files.get(")
    code = block.code + "print(frame.to_csv(index=False), end='')\n"
    assert execute(champion, history, block, code).encode() == FILES["data/raw.csv"]
    assert Path("images/1.txt").read_bytes() == b"one"


def test_with_arrow_and_polars(champion: Stored, history: History) -> None:
    pytest.importorskip("polars", reason="needs the extra `deployments`")
    block = find_block("docs/data-anywhere.md", "pyarrow")
    code = block.code + (
        "assert table.to_pydict() == {'a': [1, 3], 'b': [2, 4]}\n"
        "assert frame.to_dict(as_series=False) == table.to_pydict()\n"
        "assert lazy.collect().to_dict(as_series=False) == table.to_pydict()\n"
    )
    execute(champion, history, block, code)


def test_by_address(champion: Stored, history: History) -> None:
    block = find_block("docs/data-anywhere.md", "import fsspec")
    code = block.code + "print(frame['b'].sum(), header, path)\n"
    shown = execute(champion, history, block, code).split()
    assert shown[:2] == ["6", "a,b"]
    assert Path(shown[2], "1.txt").read_bytes() == b"one"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_the_workers_of_a_data_loader(champion: Stored, history: History, method: str) -> None:
    pytest.importorskip("torch", reason="needs the extra `deployments`")
    block = find_block("docs/data-anywhere.md", "DataLoader")
    code = block.code.replace("num_workers=2", f"num_workers=2, multiprocessing_context={method!r}")
    # The parent uses its own connections first.
    code = code.replace("    loader =", "    assert files.cat('model.bin')\n    loader =")
    assert execute(champion, history, block, code).split()[-1] == str(IMAGES)


@pytest.mark.xdist_group("clusters")
def test_in_ray(champion: Stored, history: History) -> None:
    pytest.importorskip("ray", reason="needs the extra `clusters`")
    block = find_block("docs/data-anywhere.md", "ray.init")
    code = block.code.replace("ray.init(", "ray.init(include_dashboard=False, num_cpus=2")
    assert execute(champion, history, block, code).split()[-1] == str(IMAGES)
