"""MLflow's own pages, in a real browser: what a person sees of the data."""

from __future__ import annotations

import itertools
import re
from typing import Any

import mlflow
import pytest

import mlflow_dvc_plugin as mlflow_dvc
from tests.browser.pages import close_assistant, picture, visit
from tests.project import Project

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")

SEARCH = "metrics.rmse < 1 and params.model"

_numbers = itertools.count(1)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


class Seeded:
    """An experiment with two runs on each of two states of data."""

    def __init__(self, project: Project, server: str, name: str) -> None:
        self.project = project
        self.contents = [
            "age,plan,churn\n" + "31,2,0\n44,1,1\n" * (version + 3) for version in range(2)
        ]
        mlflow.set_tracking_uri(server)
        self.experiment = mlflow.set_experiment(name).experiment_id
        self.url = f"{server}/#/experiments/{self.experiment}/runs"
        self.runs: list[mlflow.entities.Run] = []
        project.write("params.yaml", "lr: 0.1\nmodel:\n  depth: 3\n")
        mlflow_dvc.autolog()
        for version in range(2):
            project.add("data/customers.csv", self.contents[version])
            project.write("data/images/cat.png", b"\1" * (version + 1))
            project.add("data/images")
            project.add("models/it's.bin", "weights")
            project.commit()
            for number in range(2):
                named = {"mlflow.source.name": "train.py"}
                with mlflow.start_run(run_name=f"train-{version}-{number}", tags=named) as run:
                    mlflow.log_metric("accuracy", 0.9 + version / 100)
                self.runs.append(mlflow.get_run(run.info.run_id))
        mlflow_dvc.autolog(disable=True)

    def tag(self, number: int, key: str) -> str:
        return str(self.runs[number].data.tags[key])


@pytest.fixture
def seeded(project: Project, server: str) -> Seeded:
    return Seeded(project, server, f"churn-{next(_numbers)}")


def shown_runs(page: Any, count: int) -> set[str]:
    """Names of the runs in the table, once it has this many."""
    page.get_by_text(re.compile(rf"^{count} matching runs?$")).wait_for()
    links = page.get_by_role("link", name=re.compile(r"^train-\d-\d$"))
    sync_api.expect(links).to_have_count(count, timeout=30_000)
    return set(links.all_inner_texts())


def search(page: Any, text: str) -> None:
    box = page.get_by_placeholder(SEARCH)
    box.fill(text)
    box.press("Enter")


def test_the_run_page_shows_tags_and_datasets_legibly(seeded: Seeded, page: Any) -> None:
    run = seeded.runs[-1]
    page.set_viewport_size({"width": 1280, "height": 860})
    visit(page, f"{seeded.url}/{run.info.run_id}")
    page.get_by_text("dvc.data_hash").first.wait_for()
    close_assistant(page)
    text = page.inner_text("body")
    digest = seeded.tag(-1, "dvc.data.data/customers.csv")
    assert f"data/customers.csv ({digest})" in text
    order = [text.index(key) for key in ("dvc.data_hash", "dvc.status", "dvc.data.", "dvc.schema")]
    assert order == sorted(order), "what matters comes first"
    assert "clean" in text
    assert text.index("dvc.schema") < text.index("dvc.manifest")
    picture(page, "run")


def test_the_dataset_drawer_shows_hash_and_schema(seeded: Seeded, page: Any) -> None:
    visit(page, seeded.url)
    page.get_by_text("data/customers.csv").first.click()
    close_digest = seeded.tag(-1, "dvc.data.data/customers.csv")
    page.get_by_text("Data details").wait_for()
    page.get_by_text("churn").first.wait_for()
    assert close_digest in page.inner_text("body")
    picture(page, "dataset")


@pytest.mark.parametrize(
    "text",
    [
        "tags.dvc.data_hash = '{hash}'",
        'tags.dvc.data_hash = "{hash}"',
        "tags.`dvc.data_hash` = '{hash}' and metrics.accuracy > 0.5",
        "tags.`dvc.data.data/customers.csv` = '{file}'",
        "tags.\"dvc.data.data/customers.csv\" = '{file}'",
        "dataset.digest = '{file}'",
    ],
)
def test_the_search_box_finds_exactly_the_runs_on_the_data(
    seeded: Seeded, page: Any, text: str
) -> None:
    visit(page, seeded.url)
    assert len(shown_runs(page, 4)) == 4
    close_assistant(page)
    values = {
        "hash": seeded.tag(0, "dvc.data_hash"),
        "file": seeded.tag(0, "dvc.data.data/customers.csv"),
    }
    search(page, text.format(**values))
    assert shown_runs(page, 2) == {"train-0-0", "train-0-1"}


@pytest.mark.parametrize(
    "text",
    [
        "tags.dvc.hashes LIKE '%{digits}%'",
        "tags.`dvc.hashes` LIKE '%{hash}%' and metrics.accuracy > 0.5",
        "tags.\"dvc.hashes\" LIKE '%{digits}%'",
    ],
)
def test_the_search_box_finds_a_files_hash_under_any_path(
    seeded: Seeded, page: Any, text: str
) -> None:
    seeded.project.add("renamed/copy.csv", seeded.contents[0])
    with mlflow.start_run(run_name="train-2-0"):
        mlflow.log_metric("accuracy", 0.8)
    value = seeded.tag(0, "dvc.data.data/customers.csv")
    page.set_viewport_size({"width": 1280, "height": 420})
    visit(page, seeded.url)
    assert len(shown_runs(page, 5)) == 5
    close_assistant(page)
    search(page, text.format(hash=value, digits=value[:8]))
    assert shown_runs(page, 3) == {"train-0-0", "train-0-1", "train-2-0"}
    picture(page, "hashes")


def test_runs_are_grouped_by_their_data(seeded: Seeded, page: Any) -> None:
    visit(page, seeded.url)
    shown_runs(page, 4)
    close_assistant(page)
    page.get_by_role("button", name="Group by").click()
    page.get_by_role("menuitemcheckbox", name="dvc.data_hash").click()
    page.keyboard.press("Escape")
    for number in (0, 2):
        page.get_by_text(seeded.tag(number, "dvc.data_hash")).first.wait_for()
    picture(page, "groups")


def test_the_columns_chooser_offers_the_tags(seeded: Seeded, page: Any) -> None:
    visit(page, seeded.url)
    shown_runs(page, 4)
    close_assistant(page)
    page.get_by_role("button", name="Columns").click()
    page.get_by_placeholder("Search columns").fill("dvc")
    for key in ("dvc.data_hash", "dvc.data.data/customers.csv", "dvc.status"):
        page.get_by_text(key, exact=True).first.wait_for()
    page.get_by_text("dvc.status", exact=True).first.click()
    page.keyboard.press("Escape")
    page.get_by_text("clean").first.wait_for()
