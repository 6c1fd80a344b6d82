"""The page of a report: what it says, and that nothing in it can run, load or break it."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mlflow_dvc_plugin.lineage.retention.check import CheckedRun
from mlflow_dvc_plugin.reporting.graph.builder import build_graph
from mlflow_dvc_plugin.reporting.page.data_states import Metric, group_by_data
from mlflow_dvc_plugin.reporting.page.html import render
from mlflow_dvc_plugin.reporting.page.lanes import draw_chart
from mlflow_dvc_plugin.reporting.page.layout import lay_out
from mlflow_dvc_plugin.reporting.page.out_tree import build_tree
from mlflow_dvc_plugin.reporting.page.run_report import RunReport
from mlflow_dvc_plugin.reporting.page.runs_report import RunsReport
from mlflow_dvc_plugin.reporting.recorded_runs import RecordedRun, Step
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.tracking import Run
from mlflow_dvc_plugin.tracking.models import Model
from mlflow_dvc_plugin.tracking.pages import Pages
from tests.history import History, mlflow_dvc
from tests.project import Project
from tests.reporting.churn import Churn
from tests.reporting.hostile import HOSTILE

SERVER = "http://127.0.0.1:1"
_URL_ATTRIBUTES = {"href", "src", "xlink:href", "action", "data", "srcset", "formaction", "poster"}
_NEVER = {"script", "iframe", "object", "embed", "link", "base", "form", "input", "img", "template"}


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def hrefs(self) -> list[str]:
        return [str(a["href"]) for _, a in self.tags if "href" in a]


def check_harmless(text: str, server: str = "") -> Page:
    """A page has no script and nothing that is loaded, and only links to the server."""
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in _NEVER, tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in _URL_ATTRIBUTES & attributes.keys():
            assert server, (tag, attributes)
            assert str(attributes[name]).startswith(f"{server}/#/"), attributes
    policies = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'; style-src 'sha256-")
    return page


def make_run(number: int, text: str = "", **tags: str) -> RecordedRun:
    """A run on data at paths that hold a text."""
    out = Entry(f"data/{text}", "md5", f"{number:032x}", 1234, stage=f"make {text}", input=True)
    raw = Entry(f"raw/{text}/a", "md5", f"{number + 7:032x}", None, 3, isdir=True, metafile="a.dvc")
    state = DataState(
        ".", (out, raw), stage=f"train {text}", remote=text or None, exp_name=text or None
    )
    recorded = {"dvc.data_hash": state.data_hash, "dvc.inputs_hash": str(state.inputs_hash), **tags}
    recorded["dvc.stage"] = f"train {text}"
    run = Run(
        f"{number:032x}",
        f"run {text}",
        "1",
        1_700_000_000_000 + number,
        recorded,
        {f"accuracy{text}": number / 10, "loss": math.nan},
        text or "FINISHED",
        store=SERVER,
    )
    steps = (Step(f"make {text}", (raw,), (out,)),)
    return RecordedRun(run, state, "", steps)


def render_run(recorded: RecordedRun, text: str) -> str:
    model = Model(f"models:/m-{text}", text, "", recorded.run.run_id)
    version = Model(f"models:/{text}/1", text, "1", recorded.run.run_id, {}, (text or "best",))
    graph = build_graph([recorded], [model, version])
    checked = CheckedRun(recorded.run, False, text)
    previous = make_run(99, text)
    return render(RunReport(recorded, graph, text, previous, previous.state, checked))


def with_store(recorded: RecordedRun, store: str) -> RecordedRun:
    return replace(recorded, run=replace(recorded.run, store=store))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    assert len(HOSTILE) == len(set(HOSTILE)) == 50
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text)
    status = {"dvc.status": "modified", "dvc.modified": text, "dvc.changed": text}
    run = replace(make_run(1, text, **status), reason=text)
    page = render_run(run, text)
    assert shown in check_harmless(page, SERVER).text
    unread = RecordedRun(run.run, None, text)
    metric = Metric(f"accuracy{text}")
    many = render(RunsReport(text, [run, make_run(2, text), unread], (), metric, [text]))
    assert shown in check_harmless(many, SERVER).text
    assert (page + many).encode(), "it can be written"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_store_that_is_no_server_is_no_address(text: str) -> None:
    for store in ("", text, f"javascript:{text}", "sqlite:///mlflow.db"):
        run = with_store(make_run(1), store)
        assert check_harmless(render(RunsReport("x", [run]))).hrefs == []
    odd = Pages(f"http://{text}").find_run(make_run(1).run)
    assert re.fullmatch(r"(https?://[\w.%:~\[\]/-]*/#/experiments/1/runs/0*1)?", odd)


def test_the_same_runs_give_the_same_bytes(churn: Churn, tmp_path: Path) -> None:
    churn.change("1")
    first = churn.train(0.7)
    churn.change("2")
    second = churn.train(0.9)
    for args in ([second], ["--experiment", "Default", "--metric", "accuracy"]):
        path = tmp_path / "report.html"
        path.unlink(missing_ok=True)
        assert mlflow_dvc("report", *args, "-o", str(path)).code == 0
        before, stamp = path.read_bytes(), path.stat().st_mtime_ns
        assert mlflow_dvc("report", *args, "-o", str(path)).code == 0
        assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, stamp), "nothing to write"
    churn.history.client.log_metric(first, "accuracy", 0.95)
    assert mlflow_dvc("report", *args, "-o", str(path)).code == 0
    assert path.read_bytes() != before


@pytest.mark.versions
def test_the_report_of_a_run_says_what_changed_and_how_to_get_it_back(
    churn: Churn, tmp_path: Path
) -> None:
    churn.change("1")
    first = churn.train(0.7)
    churn.change("2")
    second = churn.train(0.9)
    churn.finish()
    churn.change("3")
    path = tmp_path / "report.html"
    done = mlflow_dvc("report", second, "-o", str(path), "--json")
    assert done.json == mlflow_dvc("graph", second, "--json").json
    text = " ".join(check_harmless(path.read_text()).text.split())
    name = churn.history.client.get_run(first).info.run_name
    state = mlflow_dvc("show", second, "--json").json
    (before,) = [e for e in mlflow_dvc("show", first, "--json").json["entries"] if e["input"]]
    (after,) = [e for e in state["entries"] if e["input"]]
    for words in (
        "clean The workspace held exactly this data when the run started.",
        f"Since the run before it: {name}",
        "From this run to the project now",
        f"changed data/processed {before['hash'][:8]} {before['hash']} → {after['hash'][:8]}",
        "Its place in the pipeline",
        "It can be restored. All of its data exists.",
        f"mlflow-dvc restore {second}",
        f"mlflow-dvc diff {second} --files",
    ):
        assert words in text
    for entry in state["entries"]:
        assert str(entry["hash"]) in text
    churn.project.lose()
    assert mlflow_dvc("report", second, "-o", str(path)).code == 0
    text = " ".join(Page(path.read_text()).text.split())
    assert "It cannot be restored:" in text
    assert "lost" in text


def test_the_report_of_runs_shows_which_score_came_with_which_data(
    churn: Churn, project: Project, tmp_path: Path
) -> None:
    churn.change("1")
    churn.train(0.7)
    best = churn.train(0.8)
    churn.change("2")
    churn.train(0.6)
    project.write("data/processed/all.csv", "edited")
    churn.train(0.99)
    path = tmp_path / "report.html"
    args = ("--experiment", "Default", "-o", str(path))
    assert mlflow_dvc("report", *args, "--metric", "accuracy").code == 0
    text = path.read_text()
    page = " ".join(check_harmless(text).text.split())
    name = churn.history.client.get_run(best).info.run_name
    assert f"Best accuracy 0.8 {name}, on data 1" in page
    assert "on edited data" in page
    assert len(re.findall(r'class="point hollow"', text)) == 1
    assert len(re.findall(r'class="point[ "]', text)) == 4
    assert mlflow_dvc("report", *args, "--metric", "accuracy", "--minimize").code == 0
    assert "Best accuracy 0.6" in " ".join(Page(path.read_text()).text.split())
    assert "a metric 'nope'" in mlflow_dvc("report", *args, "--metric", "nope").stderr


@pytest.mark.usefixtures("history")
def test_wrong_usage_and_nothing_to_report_are_said(project: Project, tmp_path: Path) -> None:
    project.add("data.csv", "1")
    path = str(tmp_path / "x.html")
    assert mlflow_dvc("report", "abc").code == 2
    assert mlflow_dvc("report", "abc", "--experiment", "x", "-o", path).code == 2
    assert mlflow_dvc("report", "--minimize", "-o", path).code == 2
    assert "There are no runs to report on." in mlflow_dvc("report", "-o", path).error
    assert "There is no run" in mlflow_dvc("report", "abcdef", "-o", path).error
    assert not Path(path).exists()


def test_a_file_that_cannot_be_written_is_named(
    project: Project, history: History, tmp_path: Path
) -> None:
    project.add("data.csv", "1")
    run_id = history.run()
    done = mlflow_dvc("report", run_id, "-o", str(tmp_path / "no" / "x.html"))
    assert (done.code, "cannot be written" in done.stderr) == (1, True)


def test_two_hundred_runs_fit_into_300_kilobytes() -> None:
    recorded = [
        make_run(number // 5, "some/folder", **{"dvc.git_commit": "1" * 40})
        for number in range(200)
    ]
    for number, each in enumerate(recorded):
        run = replace(each.run, run_id=f"{number:032x}", name=f"rebellious-zebra-{number}")
        recorded[number] = replace(each, run=run)
    report = RunsReport("An experiment", recorded, (), Metric("accuracysome/folder"))
    page = render(report)
    assert len(report.states) == 40
    assert len(page.encode()) < 300_000
    assert page.count("rebellious-zebra-7 ") <= 5


def test_runs_without_a_state_have_no_lane() -> None:
    known, unknown = make_run(1), RecordedRun(make_run(2).run, None, "no tags")
    report = RunsReport("x", [known, unknown])
    assert [len(data.runs) for data in report.states] == [1]
    assert "The data of 1 run is not known. The first reason: no tags" in Page(render(report)).text
    assert check_harmless(render(RunsReport("x", [unknown])), SERVER)


def test_scores_on_edited_data_and_no_numbers_are_never_the_best() -> None:
    runs = [make_run(number) for number in range(1, 4)]
    runs[2] = make_run(3, **{"dvc.status": "modified", "dvc.modified": "data/"})
    assert Metric("accuracy").find_best(runs) is runs[1]
    assert Metric("accuracy", minimize=True).find_best(runs) is runs[0]
    assert Metric("loss").find_best(runs) is None
    infinite = replace(runs[0], run=replace(runs[0].run, metrics={"accuracy": math.inf}))
    chart = draw_chart(group_by_data([*runs[1:], infinite]), Metric("accuracy"))
    places = [p for lane in chart.lanes for p in lane.points]
    assert all(math.isfinite(p.x) and math.isfinite(p.y) for p in places)
    huge = [replace(r, run=replace(r.run, metrics={"a": v}))
            for r, v in zip(runs, (-1.7e308, 1.7e308, 0.0), strict=True)]  # fmt: skip
    chart = draw_chart(group_by_data(huge), Metric("a"))
    assert all(math.isfinite(p.y) for lane in chart.lanes for p in lane.points)


def test_the_tree_names_each_folder_once() -> None:
    paths = ["b", "a/y/2", "a/x", "a/y/1", "a", "s3://bucket/a/b", "/".join("abcdefghijkl")]
    rows = build_tree([Entry(path, "md5", "0" * 32) for path in paths], None, {})
    shown = [(row.depth, row.name) for row in rows]
    assert shown[:3] == [(0, "a"), (0, "a/"), (1, "b/")]
    assert (0, "s3://bucket/a/b") in shown
    assert [name for _, name in shown].count("y/") == 1
    assert max(depth for depth, _ in shown) == 8


def overlaps(boxes: Any) -> list[tuple[str, str]]:
    found = []
    items = sorted(boxes.items())
    for number, (one, a) in enumerate(items):
        for other, b in items[number + 1 :]:
            apart = a.x + a.width <= b.x or b.x + b.width <= a.x
            if not (apart or a.y + a.height <= b.y or b.y + b.height <= a.y):
                found.append((one, other))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_layout_has_no_overlaps_and_leads_to_the_right(seed: int) -> None:
    random = Random(seed)
    names = [str(number) for number in range(random.choice([1, 2, 20, 150]))]
    sizes = {name: (random.uniform(50, 200), 42.0) for name in names}
    pairs = {tuple(sorted(random.choices(range(len(names)), k=2))) for _ in range(2 * len(names))}
    edges = [(str(a), str(b)) for a, b in sorted(pairs) if a != b]
    layout = lay_out(sizes, edges)
    assert overlaps(layout.boxes) == []
    for (source, target), line in zip(edges, layout.lines, strict=True):
        assert layout.boxes[source].x + layout.boxes[source].width < layout.boxes[target].x
        assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert all(box.x + box.width <= layout.width + 0.01 for box in layout.boxes.values())
    assert all(box.y >= 0 and box.y + box.height <= layout.height + 0.01
               for box in layout.boxes.values())  # fmt: skip
    assert lay_out(sizes, edges) == layout


def test_a_layout_of_a_circle_ends() -> None:
    sizes = dict.fromkeys("abc", (50.0, 40.0))
    layout = lay_out(sizes, [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")])
    assert overlaps(layout.boxes) == []
    assert lay_out({}, []).width == 0
