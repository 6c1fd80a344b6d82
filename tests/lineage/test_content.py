"""Which runs saw this file: content of the disk, hashed as DVC hashes it, and lists of hashes."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import pytest

from mlflow_dvc_plugin.lineage.search.content import hash_paths
from mlflow_dvc_plugin.progress import Progress
from tests.history import History, mlflow_dvc
from tests.project import Project


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def ids(*args: str) -> list[str]:
    return [run["run_id"] for run in mlflow_dvc("find", *args, "--json").json]


@pytest.fixture
def two(project: Project, history: History) -> list[str]:
    made = []
    for version in "12":
        project.add("data/a.csv", version)
        project.write("data/images/deep/x.txt", f"image {version}")
        project.add("data/images")
        made.append(history.run())
    return made


def test_a_file_is_found_by_its_content_tracked_or_not(
    two: list[str], project: Project, tmp_path: Path, history: History
) -> None:
    first, second = two
    assert ids("data/a.csv") == ids("data/images/deep/x.txt") == [second]
    elsewhere = tmp_path / "Downloads/customers.csv"
    elsewhere.parent.mkdir()
    for content, expected in (("1", [first]), ("image 1", [first]), ("new", [])):
        elsewhere.write_text(content)
        assert ids(str(elsewhere)) == expected
    shown = mlflow_dvc("find", str(elsewhere)).stdout
    assert f"The hash of {elsewhere} is {md5('new')}." in shown
    # By path, all versions are found; by content, only the one that is there.
    assert ids("--path", "data/a.csv") == [second, first]
    project.write("data/a.csv", "edited")
    assert ids("data/a.csv") == []
    assert history


def test_a_folder_has_the_hash_that_dvc_gives_it(project: Project) -> None:
    project.write(".dvcignore", "*.tmp\n")
    for name in ("x", "ä/ü.txt", "deep/er/y", "skip.tmp", ".git/config"):
        project.write(f"data/{name}", name)
    (project.path / "data/link").symlink_to("x")
    (project.path / "data/empty").mkdir()
    project.add("data")
    recorded = (project.path / "data.dvc").read_text()
    (found,) = hash_paths(["data"], Progress()).values()
    assert f"md5: {found}\n" in recorded
    assert found.endswith(".dir")


def test_a_folder_outside_any_project_is_hashed_like_one_in_a_project(
    two: list[str], project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    (copy / "deep").mkdir(parents=True)
    (copy / "deep/x.txt").write_text("image 1")
    assert ids(str(copy)) == [two[0]]
    (copy / ".git").mkdir()
    (copy / ".git/config").write_text("no data")
    assert ids(str(copy)) == [two[0]]
    monkeypatch.chdir(tmp_path)
    assert ids("copy") == [two[0]]
    assert project


def test_what_cannot_be_hashed_is_said_in_one_line(
    two: list[str], project: Project, tmp_path: Path
) -> None:
    assert two
    assert (
        "Name its hash with --hash; `mlflow-dvc log data/gone` shows"
        in mlflow_dvc("find", "data/gone").error
    )
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file nor a folder" in mlflow_dvc("find", str(tmp_path / "pipe")).error
    project.write("links/a", "a")
    (project.path / "links/broken").symlink_to("nowhere")
    assert "broken" in mlflow_dvc("find", "links").error


def test_several_questions_get_an_answer_each(two: list[str], project: Project) -> None:
    first, second = two
    project.write("new.csv", "new")
    done = mlflow_dvc("find", "new.csv", "data/a.csv", "--hash", md5("1")[:7], "--json")
    assert [(a["query"], a["hash"], [run["run_id"] for run in a["runs"]]) for a in done.json] == [
        ("new.csv", md5("new"), []),
        ("data/a.csv", md5("2"), [second]),
        (md5("1")[:7], md5("1")[:7], [first]),
    ]
    lines = mlflow_dvc("find", "new.csv", "data/a.csv").stdout.splitlines()
    assert lines[:3] == [
        f"new.csv {md5('new')}",
        "No run is known to be on this data.",
        f"data/a.csv {md5('2')}",
    ]
    assert lines[4].startswith(second)


def test_a_list_of_hashes_comes_from_standard_input(
    two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    text = f"{md5('1')}  a.csv\n\n{md5('image 2').upper()}\n{md5('1')}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    done = mlflow_dvc("find", "--hash", "-", "--json")
    assert [(a["hash"], [run["run_id"] for run in a["runs"]]) for a in done.json] == [
        (md5("1"), [first]),
        (md5("image 2"), [second]),
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{md5('1')}\n"))
    assert len(mlflow_dvc("find", "--hash", "-", "--json").json) == 1
    for wrong in ("", "\n", f"{md5('1')}\nfile.csv\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(wrong))
        done = mlflow_dvc("find", "--hash", "-")
        assert (done.code, done.stdout) == (2, "")


def test_a_list_of_thousands_is_answered_with_one_reading(
    two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = two
    hashes = [md5(f"nobody's {number}") for number in range(5_000)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*hashes, md5("image 1")])))
    answers = json.loads(mlflow_dvc("find", "--hash", "-", "--json").stdout)
    assert len(answers) == 5_001
    matches = [(a["hash"], run["run_id"]) for a in answers for run in a["runs"]]
    assert matches == [(md5("image 1"), first)]


@pytest.mark.parametrize(
    "args",
    [
        ("a", "--path", "b"),
        ("a", "--data-hash", "0"),
        ("--hash", "abcdef", "--same-as", "r"),
        ("--path", "a", "--hash", "abcdef", "--hash", "fedcba"),
    ],
)
def test_ways_of_asking_are_not_mixed(history: History, args: tuple[str, ...]) -> None:
    assert history
    assert mlflow_dvc("find", *args).code == 2
