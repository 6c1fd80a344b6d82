"""What differs between states, against a walk over both, materialised."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_dvc_plugin.capturing import capture
from mlflow_dvc_plugin.lineage.diff import compare_states, diff
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.tracking import find_run
from tests.history import History, mlflow_dvc
from tests.project import Project


def walked(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def by_walk(old: Path, new: Path) -> dict[str, set[str]]:
    before, after = walked(old), walked(new)
    return {
        "added": after.keys() - before.keys(),
        "removed": before.keys() - after.keys(),
        "modified": {p for p in before.keys() & after.keys() if before[p] != after[p]},
    }


def files_of(found: dict[str, Any]) -> dict[str, set[str]]:
    items = [item for kind in ("added", "removed", "modified") for item in found[kind]]
    return {
        kind: {file["path"] for item in items for file in item["files"][kind]}
        for kind in ("added", "removed", "modified")
    }


@pytest.fixture
def two(project: Project, history: History) -> tuple[str, str]:
    """Runs on two versions of files and folders; a file turns into a folder, too."""
    project.add("data/same.csv", "same")
    project.add("data/a.csv", "1")
    project.add("data/gone.csv", "gone")
    project.add("turned", "a file")
    for name in ("1.txt", "2.txt", "sub/3.txt"):
        project.write(f"data/images/{name}", name)
    project.add("data/images")
    first = history.run()
    project.push()
    project.add("data/a.csv", "22")
    (project.path / "data/gone.csv.dvc").unlink()
    (project.path / "data/gone.csv").unlink()
    project.add("data/new.csv", "new")
    (project.path / "turned").unlink()
    project.write("turned/now.txt", "in a folder")
    project.add("turned")
    project.write("data/images/1.txt", "changed")
    (project.path / "data/images/sub/3.txt").unlink()
    project.write("data/images/sub/ñ 4.txt", "4")
    project.add("data/images")
    second = history.run()
    project.push()
    return first, second


def test_outs_that_differ_are_told_with_both_hashes(two: tuple[str, str]) -> None:
    found = mlflow_dvc("diff", *two, "--json").json
    assert [item["path"] for item in found["added"]] == ["data/new.csv"]
    assert found["added"][0]["old"] is None
    assert [item["path"] for item in found["removed"]] == ["data/gone.csv"]
    assert found["removed"][0]["new"] is None
    assert [item["path"] for item in found["modified"]] == ["data/a.csv", "data/images", "turned"]
    assert found["modified"][0] == {
        "path": "data/a.csv",
        "old": "c4ca4238a0b923820dcc509a6f75849b",
        "new": "b6d767d2f8ed5d21a44b0e5886680cb9",
    }
    assert set(found) == {"added", "removed", "modified"}


@pytest.mark.parametrize("held_by", ["cache", "remote"])
def test_files_are_those_that_a_walk_over_both_states_finds(
    two: tuple[str, str], project: Project, tmp_path: Path, held_by: str
) -> None:
    for name, run_id in zip(("old", "new"), two, strict=True):
        restore(run_id, out=tmp_path / name)
    if held_by == "remote":
        project.lose()
    found = mlflow_dvc("diff", *two, "--files", "--json").json
    assert files_of(found) == by_walk(tmp_path / "old", tmp_path / "new")
    assert (project.path / ".dvc/cache").exists() == (held_by == "cache")


def test_a_folder_whose_listing_is_nowhere_is_unknown(
    two: tuple[str, str], project: Project, tmp_path: Path
) -> None:
    expected = mlflow_dvc("diff", *two, "--json").json["modified"]
    project.lose()
    for path in (tmp_path / "remote").rglob("*.dir"):
        path.unlink()
    found = mlflow_dvc("diff", *two, "--files", "--json").json
    assert set(found["unknown"]) == {"data/images", "turned"}
    assert "neither in the cache nor in the remote" in found["unknown"]["data/images"]
    assert [item["path"] for item in found["modified"]] == [item["path"] for item in expected]
    assert found["modified"][1]["files"] is None
    shutil.rmtree(tmp_path / "remote")
    found = mlflow_dvc("diff", *two, "--files", "--json").json
    assert "nothing was pushed to the remote yet" in found["unknown"]["data/images"]


def test_the_workspace_is_compared_as_it_is(two: tuple[str, str], project: Project) -> None:
    first, second = two
    assert mlflow_dvc("diff", second, "--json").json == {"added": [], "removed": [], "modified": []}
    assert mlflow_dvc("diff", first, "--json").json == mlflow_dvc("diff", *two, "--json").json
    project.write("data/a.csv", "never added")
    (project.path / "data/new.csv").unlink()
    project.write("data/images/1.txt", "never added either")
    (project.path / "data/images/2.txt").unlink()
    found = mlflow_dvc("diff", second, "--files", "--json").json
    assert [(item["path"], item["new"]) for item in found["removed"]] == [("data/new.csv", None)]
    file, folder = found["modified"]
    assert (file["path"], file["new"]) == ("data/a.csv", hashlib.md5(b"never added").hexdigest())
    assert folder["path"] == "data/images"
    assert [item["path"] for item in folder["files"]["modified"]] == ["data/images/1.txt"]
    assert [item["path"] for item in folder["files"]["removed"]] == ["data/images/2.txt"]
    done = mlflow_dvc("diff", second)
    assert done.stdout.endswith("\n0 added, 1 removed, 2 modified.\n")
    assert done.stderr == ""
    # DVC itself takes the same hash of the folder.
    project.add("data/images")
    (entry,) = [e for e in capture_entries(project) if e.path == "data/images"]
    assert entry.hash == folder["new"]


def test_a_folder_that_was_clean_a_moment_ago_is_looked_at_again(
    two: tuple[str, str], project: Project
) -> None:
    assert mlflow_dvc("diff", two[1]).stdout == "The data is the same.\n"
    project.write("data/images/1.txt", "CHANGED")
    assert mlflow_dvc("diff", two[1]).stdout.endswith("0 added, 0 removed, 1 modified.\n")


def test_what_a_run_read_and_nobody_saved_is_unknown(
    two: tuple[str, str], project: Project, history: History
) -> None:
    project.write("data/a.csv", "edited")
    edited = history.run()
    reason = "it was modified when the run started, and was not saved"
    for args in ((edited,), (edited, two[1]), (two[1], edited)):
        found = mlflow_dvc("diff", *args, "--json").json
        assert found["unknown"] == {"data/a.csv": reason}
        assert found["modified"] == []
    done = mlflow_dvc("find", "--same-as", edited, "--json")
    assert "The hash of data/a.csv was taken from the metafile: it was modified" in done.stderr


def capture_entries(project: Project) -> tuple[Entry, ...]:
    state = capture(project.path)
    assert state is not None
    return state.entries


def test_what_lies_outside_the_project_is_compared_by_its_metafile(
    project: Project, history: History, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("1")
    project.write("dvc.yaml", f"stages:\n  s:\n    cmd: touch {outside}\n    outs: [{outside}]\n")
    project.write(
        "dvc.lock",
        "schema: '2.0'\nstages:\n  s:\n    cmd: x\n    outs:\n"
        f"    - path: {outside}\n      hash: md5\n      md5: {'1' * 32}\n      size: 1\n",
    )
    run_id = history.run()
    reasons = {str(outside): "it is outside the project"}
    assert mlflow_dvc("diff", run_id, "--json").json == {
        "added": [],
        "removed": [],
        "modified": [],
        "unverified": reasons,
    }
    shown = mlflow_dvc("diff", run_id).stdout
    assert f"!  {outside}  (compared by its metafile only: it is outside the project)" in shown
    assert shown.endswith("The data is the same, as far as it was compared.\n")


def test_lines_end_without_spaces(two: tuple[str, str]) -> None:
    for command in (
        ("show", two[0]),
        ("status",),
        ("find",),
        ("log", "data/a.csv"),
        ("diff", *two),
    ):
        lines = mlflow_dvc(*command).stdout.splitlines()
        assert [line for line in lines if line != line.rstrip()] == []


def test_people_see_files_with_signs(two: tuple[str, str]) -> None:
    shown = mlflow_dvc("diff", *two, "--files").stdout
    assert "A  data/new.csv  22af645d1859cb5ca6da0c484f1f37ea" in shown
    assert "     M  data/images/1.txt\n" in shown
    assert "     A  data/images/sub/ñ 4.txt\n" in shown
    assert shown.endswith("1 added, 1 removed, 3 modified.\n")


def test_python_takes_runs_states_and_the_workspace(two: tuple[str, str], project: Project) -> None:
    now = capture(project.path)
    assert now is not None
    assert diff(find_run(two[0]), now).to_dict() == diff(two[0]).to_dict()


def test_what_a_stage_makes_is_not_called_removed() -> None:
    raw = Entry("raw", "md5", "1" * 32, metafile="raw.dvc")
    model = Entry("model", "md5", "2" * 32, stage="train", metafile="dvc.lock")
    whole, inside = DataState(".", (raw, model)), DataState(".", (raw,), stage="train")
    for found in (compare_states(whole, inside), compare_states(inside, whole)):
        assert found.items == []
        assert found.unknown == {"model": "a run in stage train does not record what stages make"}
    assert compare_states(inside, inside).unknown == {}


hashes = st.sampled_from(["a" * 32, "b" * 32, "c" * 32])
states = st.dictionaries(st.sampled_from(["x", "x/y", "z", "ü"]), hashes).map(
    lambda outs: DataState(".", tuple(Entry(p, "md5", h) for p, h in sorted(outs.items())))
)


@given(states, states)
def test_states_differ_if_and_only_if_their_fingerprints_do(old: DataState, new: DataState) -> None:
    found = compare_states(old, new)
    assert bool(found.items) == (old.data_hash != new.data_hash)
    there, back = compare_states(old, new), compare_states(new, old)
    assert [i.path for i in there.added] == [i.path for i in back.removed]
    assert [(i.path, i.old, i.new) for i in there.modified] == [
        (i.path, i.new, i.old) for i in back.modified
    ]
