"""The page of a report in a real browser: from disk, and in MLflow's viewer of artifacts.

``MLFLOW_DVC_SCREENSHOTS=DIR`` keeps the pictures that the documentation shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mlflow
import pytest

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.reporting.page.html import render
from mlflow_dvc_plugin.reporting.page.runs_report import RunsReport
from tests.browser.pages import SCREENSHOTS, close_assistant, picture
from tests.history import mlflow_dvc as command
from tests.project import Project
from tests.reporting.hostile import HOSTILE
from tests.reporting.shop import Shop
from tests.reporting.test_page import make_run, render_run, with_store

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
SIZES = (380, 1400)
THEMES = ("light", "dark")


class Window:
    """A page of the browser that records what it says and what it asks for."""

    def __init__(self, browser: Any, width: int = 1400, theme: str = "light") -> None:
        size = {"width": width, "height": 900}
        self.page = browser.new_page(viewport=size, color_scheme=theme)
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open_file(self, path: Path) -> Any:
        self.page.goto(path.as_uri())
        assert self.requests == [path.as_uri()], "nothing else is loaded"
        assert self.messages == []
        return self.page

    def picture(self, name: str) -> None:
        if SCREENSHOTS:
            self.page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


@pytest.fixture
def shop(project: Project, server: str, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return Shop(project, server, runs=24, states=4)


def test_pages_open_from_disk_in_both_themes_and_sizes(
    browser: Any,
    shop: Shop,
    server: str,
    tmp_path: Path,
) -> None:
    one, many = tmp_path / "one.html", tmp_path / "many.html"
    assert command("report", "models:/forecast@champion", "-o", str(one)).code == 0
    args = ("--experiment", shop.name, "--metric", "accuracy", "-o", str(many))
    assert command("report", *args).code == 0
    colours = set()
    for theme in THEMES:
        for width in SIZES:
            for path in (one, many):
                window = Window(browser, width, theme)
                page = window.open_file(path)
                assert page.evaluate("document.documentElement.scrollWidth") == width
                colours.add(page.evaluate("getComputedStyle(document.documentElement).background"))
                window.picture(f"report-{path.stem}-{width}-{theme}")
                page.emulate_media(media="print")
                assert page.evaluate("getComputedStyle(document.body).fontSize") != "15px"
                page.close()
    assert len(colours) == 2
    window = Window(browser)
    page = window.open_file(one)
    # With the keyboard alone: each box of the picture is reached, and shows its whole hash.
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        shown = page.evaluate(
            "() => { const full = document.activeElement.querySelector('.full');"
            " return full && getComputedStyle(full).display !== 'none' ? full.textContent : '' }"
        )
        seen.add(shown)
    hashes = {str(each["hash"]).removesuffix(".dir")
              for each in command("graph", "models:/forecast@champion", "--json").json["nodes"]
              if "hash" in each}  # fmt: skip
    assert hashes <= seen
    # Each box leads to its page.
    links = page.locator("svg a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert len(links) > 5
    assert all(link.startswith(f"{server}/#/") for link in links)
    assert any("/models/forecast/versions/" in link for link in links)
    # The search for data finds its runs in MLflow.
    (found,) = [each for each in links if "dvc.hashes" in unquote(each)][:1]
    page.goto(found)
    page.get_by_text("matching runs").wait_for(timeout=30_000)


def test_a_report_is_readable_in_the_viewer_of_artifacts(
    browser: Any,
    project: Project,
    server: str,
) -> None:
    mlflow.set_tracking_uri(server)
    experiment = mlflow.set_experiment("viewer").experiment_id
    project.add("data.csv", "1")
    mlflow_dvc.autolog(log_report=True)
    try:
        with mlflow.start_run() as run:
            mlflow.log_metric("accuracy", 0.5)
    finally:
        mlflow_dvc.autolog(disable=True)
    window = Window(browser)
    runs = f"{server}/#/experiments/{experiment}/runs/{run.info.run_id}"
    window.page.goto(f"{runs}/artifacts/dvc/report.html")
    frame = window.page.frame_locator("iframe.mlflow-html-iframe, iframe[title='html']").first
    frame.get_by_text("The workspace held exactly this data").wait_for(timeout=60_000)
    close_assistant(window.page)
    (inner,) = [each for each in window.page.frames if each.url.startswith("blob:")]
    assert inner.evaluate("self.origin") == "null", "the frame is closed"
    assert inner.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not [text for text in window.messages if "Content Security" in text or "blob:" in text]
    outside = [url for url in window.requests if not url.startswith((server, "blob:", "data:"))]
    assert not [url for url in outside if "report" in url]
    picture(window.page, "report-viewer")
    window.page.close()


def test_nothing_runs_and_nothing_is_loaded_whatever_the_names(
    browser: Any,
    tmp_path: Path,
) -> None:
    path = tmp_path / "report.html"
    for number, text in enumerate(HOSTILE):
        status = {"dvc.status": "modified", "dvc.modified": text, "dvc.changed": text}
        run = make_run(1, text, **status)
        many = RunsReport(text, [run, make_run(2, text)], remarks=[text])
        for page_text in (render_run(run, text), render(many)):
            path.write_text(page_text, encoding="utf-8")
            window = Window(browser, SIZES[number % 2])
            page = window.open_file(path)
            page.mouse.move(200, 400)
            page.locator("[tabindex='0']").first.focus()
            page.locator("details").evaluate_all("all => all.forEach(each => each.open = true)")
            page.wait_for_timeout(20)
            assert page.evaluate("window.pwned") is None, text
            assert page.locator("script, iframe, object, embed, img, form").count() == 0
            assert len(window.requests) == 1, text
            assert window.messages == [], text
            page.close()
    assert with_store(run, "").run.store == ""


def test_the_policy_forbids_what_could_get_in(browser: Any, tmp_path: Path) -> None:
    """Even if text were not escaped, the browser would not run or load it."""
    path = tmp_path / "report.html"
    attack = (
        "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
        "<link rel=stylesheet href=https://evil.example/x.css><p style='color:red' id=styled>x</p>"
    )
    text = render(RunsReport("x", [make_run(1)])).replace("<main>", f"<main>{attack}")
    path.write_text(text, encoding="utf-8")
    window = Window(browser)
    window.page.goto(path.as_uri())
    window.page.wait_for_timeout(200)
    assert window.page.evaluate("window.pwned") is None
    colour = "getComputedStyle(document.getElementById('styled')).color"
    assert window.page.evaluate(colour) != "rgb(255, 0, 0)"
    assert (
        window.page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"
    )
    assert len(window.messages) >= 4, "each attempt was refused"
    window.page.close()
