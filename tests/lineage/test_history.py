"""The versions of one out over the runs."""

from __future__ import annotations

import hashlib
import json
import math

import pytest

from mlflow_dvc_plugin.cli import tables
from mlflow_dvc_plugin.cli.lineage import log
from mlflow_dvc_plugin.lineage.search.results import FoundRun, group_by_version
from tests.history import History, mlflow_dvc
from tests.project import Project
from tests.record import record


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture
def four(project: Project, history: History) -> list[str]:
    """Runs on versions 1, 2, 1, 3; the last without the metric."""
    found = []
    for version, accuracy in (("1", 0.5), ("2", 0.9), ("1", 0.7)):
        project.add("a", version)
        found.append(history.run(accuracy=accuracy))
    project.add("a", "3")
    return [*found, history.run()]


def test_each_version_is_told_once_in_order_of_time(four: list[str], history: History) -> None:
    times = [history.client.get_run(run_id).info.start_time for run_id in four]
    assert mlflow_dvc("log", "a", "--metric", "accuracy", "--json").json == [
        {
            "hash": md5("1"),
            "first": times[0],
            "last": times[2],
            "run_ids": [four[0], four[2]],
            "best": 0.7,
        },
        {
            "hash": md5("2"),
            "first": times[1],
            "last": times[1],
            "run_ids": [four[1]],
            "best": 0.9,
        },
        {
            "hash": md5("3"),
            "first": times[3],
            "last": times[3],
            "run_ids": [four[3]],
            "best": None,
        },
    ]


def test_the_least_can_be_the_best(four: list[str]) -> None:
    assert four
    found = mlflow_dvc("log", "a", "--metric", "accuracy", "--minimize", "--json").json
    assert [version["best"] for version in found] == [0.5, 0.9, None]
    assert mlflow_dvc("log", "a", "--minimize").code == 2


def test_a_run_that_read_something_else_scores_for_no_version(
    four: list[str], project: Project, history: History
) -> None:
    project.add("a", "1")
    project.write("a", "edited")
    edited = history.run(accuracy=0.99)
    project.add("a", "4")
    project.write("a", "edited")
    lost = history.run(accuracy=0.98)
    found = mlflow_dvc("log", "a", "--metric", "accuracy", "--json")
    assert [(v["run_ids"], v["best"], v.get("modified")) for v in found.json] == [
        ([four[0], four[2], edited], 0.7, [edited]),
        ([four[1]], 0.9, None),
        ([four[3]], None, None),
        ([lost], None, [lost]),
    ]
    assert f"may have read something else: {lost}, {edited}." in found.stderr
    *rows, remark = mlflow_dvc("log", "a", "--metric", "accuracy").stdout.splitlines()
    assert f"{lost}, {edited}." in remark
    assert rows[0].split()[-4:] == ["runs", "modified", "best", "accuracy"]
    assert [row.split()[-3:] for row in rows[1:]] == [
        ["3", "1", "0.7"],
        ["1", "-", "0.9"],
        ["1", "-", "-"],
        ["1", "1", "-"],
    ]


def test_a_path_that_no_run_knows_has_no_versions(four: list[str]) -> None:
    assert four
    assert mlflow_dvc("log", "b", "--json").json == []
    assert mlflow_dvc("log", "b").stdout.startswith("No run used or made it.\n")


def test_nan_is_never_the_best() -> None:
    runs = [
        FoundRun("r", "", "0", 1, None, ["a"], {"m": math.nan}, {"a": "input"}, {"a": "1"}),
        FoundRun("s", "", "0", 2, None, ["a"], {"m": 0.5}, {"a": "input"}, {"a": "1"}),
    ]
    assert [version.best for version in group_by_version(runs, "a", "m")] == [0.5]


def test_bars_are_drawn_on_a_terminal_only(
    four: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert four
    piped = mlflow_dvc("log", "a", "--metric", "accuracy").stdout
    assert md5("2") in piped
    assert "▇" not in piped
    for module in (tables, log):
        monkeypatch.setattr(module, "terminal_width", lambda: 200)
    drawn = mlflow_dvc("log", "a", "--metric", "accuracy").stdout
    assert [line.count("▇") for line in drawn.splitlines()[1:]] == [1, 24, 0]


def test_no_number_breaks_json_or_bars(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, score in (("1", math.inf), ("2", math.nan), ("3", 0.5), ("4", -math.inf)):
        project.add("a", version)
        history.run(score=score)
    asked = ("a", "--metric", "score")
    for done in (
        mlflow_dvc("log", *asked, "--json"),
        mlflow_dvc("find", "--path", *asked, "--json"),
    ):
        found = json.loads(done.stdout, parse_constant=pytest.fail)
        assert len(found) == 4
    assert [run["metrics"]["score"] for run in found[1:3]] == [0.5, None]
    for module in (tables, log):
        monkeypatch.setattr(module, "terminal_width", lambda: 200)
    drawn = mlflow_dvc("log", *asked).stdout
    assert [line.count("▇") for line in drawn.splitlines()[1:]] == [24, 0, 13, 1]


def test_a_narrow_terminal_gets_paragraphs_and_loses_nothing(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("data/images-of-some-kind/ü", "1")
    project.add("data/images-of-some-kind")
    name = "n" * 300
    tags = {**record(project.path).tags, "mlflow.runName": name}
    run_id = history.run(tags=tags, score=0.5)
    (value,) = [e["hash"] for e in mlflow_dvc("show", run_id, "--json").json["entries"]]
    piped = mlflow_dvc("find", "--metric", "score").stdout.splitlines()[1].split()
    assert [piped[0], piped[-4:]] == [run_id, ["0.5", "input", "data/images-of-some-kind", value]]
    monkeypatch.setattr(tables, "terminal_width", lambda: 60)
    for command, lines in {
        ("find", "--metric", "score"): [
            run_id,
            "score 0.5",
            f"input  data/images-of-some-kind  {value}",
        ],
        ("log", "data/images-of-some-kind", "--metric", "score"): [value, "runs 1  best score 0.5"],
        ("show", run_id): [
            "data/images-of-some-kind/\n",
            f"hash {value}  size 1 B  files 1  made by data/images-of-some-kind.dvc",
        ],
        ("status",): [
            "data/images-of-some-kind/\n",
            f"hash {value}  size 1 B  files 1  made by data/images-of-some-kind.dvc",
        ],
    }.items():
        shown = mlflow_dvc(*command).stdout
        assert all(line in shown for line in lines), shown
