"""Every block for a shell or for Python runs, in order, as the page has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import forkserver
from tests.documentation.blocks import PYTHON, REPOSITORY, list_executed, list_pages
from tests.documentation.shell import offer_commands
from tests.documentation.world import World

# One worker builds the world for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("documentation")]

RUN_PAGE = f"""\
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.documentation.run_page import main
main(sys.argv[1])
"""
# What a reader has already, and a page does not repeat.
OWN = {
    "docs/autolog.md": """\
import pandas as pd
from sklearn.linear_model import LogisticRegression

df, model = pd.read_csv("data/customers.csv"), LogisticRegression()


def predict(table):
    return [0] * len(table)
""",
    "docs/saving.md": """\
import os
import mlflow

with open("data/customers.csv", "a") as file:
    file.write("99,30,1\\n")
mlflow.set_experiment("churn")
os.environ["MLFLOW_DVC_SAVE"] = "1"
mlflow.start_run()
mlflow.end_run()
""",
}
# The first run of a page that makes its own.
READ_RUN = "import json, sys; print(json.load(sys.stdin)[-2]['run_ids'][0])"
RUNS = {
    "docs/start.md": f'$(mlflow-dvc log data/customers.csv --json | python -c "{READ_RUN}")',
}
PAGES = [page for page in list_pages() if list_executed(page)]


@pytest.fixture(scope="module")
def commands() -> Iterator[str]:
    with offer_commands() as folder:
        yield folder


build_world = cache(World)


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, commands: str) -> World:
    """Built once, and in the isolation of a test."""
    made = build_world(tmp_path_factory.getbasetemp() / "documentation", empty_store, commands)
    made.reset()
    return made


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page: str, world: World, commands: str, tmp_path: Path) -> None:
    blocks = [{"where": "before", "language": "python", "code": OWN.get(page, "")}]
    for block in list_executed(page):
        language = "python" if block.language in PYTHON else "sh"
        where, code = f"{page}:{block.line}", world.substitute(block.code, RUNS.get(page, ""))
        blocks.append({"where": where, "language": language, "code": code})
    script = tmp_path / "blocks.json"
    script.write_text(json.dumps(blocks))
    done = forkserver.MLFLOW.run(
        *("-c", RUN_PAGE, str(script)), cwd=world.project.path, env=world.environment(commands)
    )
    assert done.returncode == 0, done.stderr
