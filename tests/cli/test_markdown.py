"""Markdown for pull requests: nothing that a run or project says has an effect there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mlflow_dvc_plugin.cli.markdown import escape, to_code
from tests.history import History, mlflow_dvc
from tests.project import Project

HOSTILE = [
    "<img src=x onerror=alert(1)>", "a|b", "`code`", "``", "[x](http://e.vil)", "![x](y)",
    "# head", "@someone", "**bold**", "a\nb", "</td><script>x</script>", "&lt;", "\\", "- x",
    "a`b|c`", "<!-- mlflow-dvc diff -->", "~~x~~", "http://e.vil", "_x_", "\\|", "`", "x`",
]  # fmt: skip


def render(text: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(text))


@given(st.sampled_from(HOSTILE) | st.text(alphabet="a`|\\<*_[]()!@#\n ", min_size=1))
def test_in_a_table_text_is_code_and_stays_in_its_cell(text: str) -> None:
    html = render(f"| a | b |\n| --- | --- |\n| {to_code(text)} | end |\n")
    assert html.count("<td>") == 2
    cell = html.split("<td>")[1].split("</td>")[0]
    if text.strip():
        assert cell.startswith("<code>")
        assert cell.endswith("</code>")
    assert "<" not in cell.removeprefix("<code>").removesuffix("</code>")


@given(st.sampled_from(HOSTILE) | st.text(alphabet="a`|\\<*_[]()!@#~-+. ", min_size=1))
def test_in_a_sentence_text_is_text(text: str) -> None:
    html = render(f"Say {escape(text)} here")
    assert html.startswith("<p>Say ")
    assert html.endswith(" here</p>\n")
    assert "<" not in html[3:-5]
    assert "@s" not in html


@pytest.fixture
def runs(project: Project, history: History, tmp_path: Path) -> tuple[str, str]:
    project.remote(tmp_path / "remote")
    project.add("a.csv", "one")
    project.write("raw/<b>|x", "1")
    project.add("raw")
    first = history.run(auc=0.5)
    project.add("a.csv", "two")
    project.write("raw/<b>|x", "2")
    project.add("raw")
    return first, history.run(auc=0.75)


def test_a_comparison_as_markdown(runs: tuple[str, str]) -> None:
    one, two = runs
    text = mlflow_dvc("diff", one, two, "--files", "--md").stdout
    mark, heading, _, *table = text.splitlines()
    assert mark == "<!-- mlflow-dvc diff -->"
    assert heading == f"### Data `{one}` → `{two}`: 0 added, 0 removed, 2 modified."
    assert [line.split(" | ")[:2] for line in table] == [
        ["| ", "path"],
        ["| ---", "---"],
        ["| M", "`a.csv`"],
        ["| M", "`raw`"],
        ["| M", "`raw/<b>\\|x`"],
    ]
    html = render(text)
    assert html.count("<tr>") == 4
    assert "<code>raw/&lt;b&gt;|x</code>" in html


def test_the_mark_of_an_empty_comparison_is_the_same(runs: tuple[str, str]) -> None:
    text = mlflow_dvc("diff", runs[0], runs[0], "--md").stdout
    assert text.splitlines() == [
        "<!-- mlflow-dvc diff -->",
        f"### Data `{runs[0]}` → `{runs[0]}`: The data is the same.",
    ]


def test_checks_and_versions_as_markdown(runs: tuple[str, str]) -> None:
    checked = mlflow_dvc("check", *runs, "--require", "pushed", "--md")
    assert checked.code == 1
    assert checked.stdout.startswith("<!-- mlflow-dvc check -->\n### Data of 2 runs: 0 passed\n")
    assert checked.stdout.count("| ❌ |") == 2
    text = mlflow_dvc("log", "a.csv", "--metric", "auc", "--md").stdout
    assert text.startswith("<!-- mlflow-dvc log -->\n### `a.csv`: 2 versions\n")
    assert [line.split(" | ")[-1] for line in text.splitlines()[-2:]] == ["0.5 |", "0.75 |"]


@pytest.mark.parametrize("command", ["diff", "check", "log"])
def test_two_formats_at_once_are_wrong_usage(command: str) -> None:
    done = mlflow_dvc(command, "x", "--md", "--json")
    assert done.code == 2
    assert "--json and --md exclude each other." in done.stderr
