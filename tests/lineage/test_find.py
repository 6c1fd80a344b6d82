"""Which runs used or made some data, against what each run recorded."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from mlflow_dvc_plugin.lineage.search.find import find_runs, search_by_data
from mlflow_dvc_plugin.lineage.search.query import Query
from mlflow_dvc_plugin.state.tags import to_tag_key
from mlflow_dvc_plugin.tracking import store
from tests.history import IN_A_STAGE, History, mlflow_dvc
from tests.project import Project


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def ids(*args: str) -> list[str]:
    return [run["run_id"] for run in mlflow_dvc("find", *args, "--json").json]


@pytest.fixture
def three(project: Project, history: History) -> list[str]:
    """Runs on two versions of the data: 1, 2, 1."""
    found = []
    for version, accuracy in (("1", 0.5), ("2", 0.9), ("1", 0.7)):
        project.add("data/a.csv", version)
        project.write("data/images/x.txt", f"image {version}")
        project.add("data/images")
        found.append(history.run(accuracy=accuracy, loss=1 - accuracy))
    history.client.create_run("0", tags={"other": "run"})
    return found


@pytest.mark.versions
@pytest.mark.windows
def test_runs_on_the_workspaces_data_come_newest_first(three: list[str]) -> None:
    first, second, third = three
    assert ids() == [third, first]
    assert ids("--same-as", second) == [second]
    assert ids("--same-as", first[:12]) == [third, first]


def test_json_has_what_the_contract_names(three: list[str], history: History) -> None:
    tags = history.tags(three[1])
    (found,) = mlflow_dvc("find", "--path", "data/a.csv", "--hash", md5("2"), "--metric",
                          "accuracy", "--metric", "nope", "--json").json  # fmt: skip
    assert found == {
        "run_id": three[1],
        "run_name": tags["mlflow.runName"],
        "experiment_id": "0",
        "start_time": history.client.get_run(three[1]).info.start_time,
        "data_hash": tags["dvc.data_hash"],
        "paths": ["data/a.csv"],
        "metrics": {"accuracy": 0.9},
        "roles": {"data/a.csv": "input"},
        "hashes": {"data/a.csv": md5("2")},
    }


def test_each_way_of_asking(three: list[str], history: History) -> None:
    first, second, third = three
    assert ids("--data-hash", history.tags(first)["dvc.data_hash"]) == [third, first]
    assert ids("--path", "data/a.csv") == [third, second, first]
    assert ids("--path", "data/a.csv", "--hash", md5("1")) == [third, first]
    assert ids("--hash", md5("2")) == [second]
    assert ids("--path", "data/b.csv") == ids("--hash", md5("3")) == ids("--data-hash", "0") == []


@pytest.mark.versions
@pytest.mark.parametrize("held_by", ["cache", "remote", "nobody"])
def test_a_files_hash_is_found_inside_folders(
    three: list[str], project: Project, tmp_path: Path, held_by: str
) -> None:
    cache, remote = project.path / ".dvc/cache", tmp_path / "remote"
    if held_by == "remote":
        shutil.copytree(cache / "files", remote / "files", dirs_exist_ok=True)
    if held_by != "cache":
        project.lose()
    done = mlflow_dvc("find", "--hash", md5("image 1"), "--json")
    if held_by == "nobody":
        assert done.json == []
        limit = "Files in folders were looked for in 0 listings, all that the cache and the remote"
        limit += f" have.\n{IN_A_STAGE}"
        assert done.stderr == f"{limit}\n"
        shown = mlflow_dvc("find", "--hash", md5("image 1"))
        assert shown.stdout == f"No run is known to be on this data.\n{limit}\n"
        assert shown.stderr == ""
    else:
        assert [run["run_id"] for run in done.json] == [three[2], three[0]]
        assert done.json[0]["paths"] == ["data/images/x.txt"]
        assert done.stderr == ""
        assert cache.exists() == (held_by == "cache")


def test_outs_without_a_tag_of_their_own_are_found_in_the_manifest(
    project: Project, history: History
) -> None:
    project.add_files("d", {f"{number:02}": b"content %d" % number for number in range(24)})
    odd = "d/" + "ü" * 120
    project.add(odd, "odd")
    run_id = history.run()
    tags = history.tags(run_id)
    hidden = [f"d/{n:02}" for n in range(24) if to_tag_key(f"d/{n:02}") not in tags]
    assert tags["dvc.data_omitted"] == "5"
    assert len(hidden) + (to_tag_key(odd) not in tags) == 5
    for path in hidden:
        value = md5(f"content {int(path[2:])}")
        assert ids("--path", path, "--hash", value) == [run_id]
        assert ids("--path", path, "--hash", md5("other")) == []
        assert ids("--hash", value) == [run_id]
    assert ids("--path", odd) == ids("--path", odd, "--hash", md5("odd")) == [run_id]


def test_a_cut_key_is_found_by_its_path(project: Project, history: History) -> None:
    odd = "größe/" + "x" * 240
    project.add(odd, "odd")
    run_id = history.run()
    assert "dvc.data_omitted" not in history.tags(run_id)
    assert ids("--path", odd) == ids("--path", odd, "--hash", md5("odd")) == [run_id]
    assert ids("--path", odd[:-1]) == []


def test_a_run_in_a_stage_used_that_stages_inputs(project: Project, history: History) -> None:
    project.add("raw.csv", "raw")
    project.add("unused.csv", "unused")
    project.write("dvc.yaml", "stages:\n  train:\n    cmd: cp raw.csv m\n    deps: [raw.csv]\n"
                  "    outs: [m]\n")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_STAGE", "train")
        inside = history.run()
    assert history.tags(inside)["dvc.stage"] == "train"
    assert ids("--path", "raw.csv") == [inside]
    assert ids("--hash", md5("raw")) == [inside]
    assert ids("--path", "unused.csv") == ids("--hash", md5("unused")) == []
    project.dvc("repro", "-q")
    # The workspace has the model now, and other data that train does not read.
    project.add("unused.csv", "changed")
    assert ids() == ids("--same-as", inside) == [inside]
    project.add("raw.csv", "changed")
    assert ids() == []


@pytest.mark.versions
@pytest.mark.windows
def test_only_the_chosen_experiments_are_searched(three: list[str], history: History) -> None:
    other = history.client.create_experiment('it\'s "other"')
    elsewhere = history.run(other)
    assert ids() == [elsewhere, three[2], three[0]]
    assert ids("--experiment", 'it\'s "other"') == [elsewhere]
    assert ids("--experiment", 'it\'s "other"', "--experiment", "Default") == ids()
    assert "no experiment 'nope'" in mlflow_dvc("find", "--experiment", "nope").error


def test_every_page_is_read(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE", 2)
    project.add("a", "1")
    made = [history.run() for _ in range(7)]
    assert ids() == ids("--hash", md5("1")) == made[::-1]


def test_no_text_changes_what_is_asked(three: list[str]) -> None:
    assert three
    for text in ("x' OR '1'='1", 'a"b', "a`b", "%", "x'; --", "\\"):
        assert ids("--data-hash", text) == ids("--path", text) == [], text
        for command in (("--hash", text), ("--path", "data/a.csv", "--hash", text)):
            done = mlflow_dvc("find", *command)
            assert (done.code, done.stdout) == (2, "")
            assert "is not a hash" in done.stderr


def test_the_best_model_for_the_data_is_one_command(three: list[str]) -> None:
    shown = mlflow_dvc("find", "--path", "data/a.csv", "--metric", "accuracy").stdout
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == three[::-1]
    assert "accuracy" in shown.splitlines()[0]
    assert " 0.9 " in shown.splitlines()[2]


def test_tags_cannot_write_to_the_terminal(project: Project, history: History) -> None:
    project.add("a", "1")
    tags = {"mlflow.runName": "\x1b[2J\x9bevil", "dvc.data_hash": "1", "dvc.schema": "1",
            "dvc.data.a": md5("1")}  # fmt: skip
    history.run(tags=tags)
    done = mlflow_dvc("find", "--path", "a")
    assert "evil" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "\x9b" not in done.stdout + done.stderr


def test_a_state_that_cannot_be_read_is_counted_and_not_guessed(
    project: Project, history: History
) -> None:
    project.add("a", "1")
    tags = {"dvc.schema": "1", "dvc.data_hash": "f" * 32, "dvc.data_omitted": "30"}
    history.run(tags=tags)
    result = search_by_data(Query(path="a", tracking_uri=history.uri))
    assert (result.runs, result.unread_runs) == ([], 1)
    for command in (("find", "--path", "a"), ("log", "a")):
        first, second = mlflow_dvc(*command).stdout.splitlines()
        assert first.startswith("No run is known to")
        assert second.startswith("1 other run may match too: ")


def test_a_run_without_data_has_none_to_compare(three: list[str], history: History) -> None:
    assert three
    plain = history.run(tags={})
    assert "its data is unknown" in mlflow_dvc("find", "--same-as", plain).error


def test_ways_of_asking_exclude_each_other(history: History) -> None:
    assert history
    assert mlflow_dvc("find", "--data-hash", "0", "--path", "a").code == 2


def test_without_a_project_a_path_is_taken_as_it_is(
    three: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [run.run_id for run in find_runs(path="data/a.csv", hash=md5("2"))] == [three[1]]
    for command in (("find", "--path"), ("log",)):
        assert "DVC project" not in mlflow_dvc(*command, "data/a.csv").stdout
        assert "This is not a DVC project" in mlflow_dvc(*command, "project/data/a.csv").stdout
    assert "is not in a DVC project" in mlflow_dvc("find").error


def test_a_path_that_is_no_output_is_explained(three: list[str]) -> None:
    assert three
    for command in (("find", "--path"), ("log",)):
        inside = mlflow_dvc(*command, "data/images/x.txt")
        assert "is in data/images, which DVC tracks as a whole" in inside.stdout
        above = mlflow_dvc(*command, "data")
        assert "use data/a.csv, data/images." in above.stdout
        assert "DVC does not track data/b.csv now" in mlflow_dvc(*command, "data/b.csv").stdout
        assert "track" not in mlflow_dvc(*command, "data/a.csv").stdout


def test_what_git_keeps_is_not_offered_as_data(project: Project, history: History) -> None:
    project.write("dvc.yaml", "stages:\n  s:\n    cmd: mkdir -p o/p && touch o/p/x o/m.json\n"
                  "    outs: [o/p/x]\n    metrics: [o/m.json: {cache: false}]\n")  # fmt: skip
    project.dvc("repro", "-q")
    history.run()
    for command in (("find", "--path"), ("log",)):
        above = mlflow_dvc(*command, "o", "--json").stderr
        assert above == "o is not an output, but contains some: use o/p/x.\n"
        assert mlflow_dvc(*command, "o/m.json", "--json").stderr == (
            "o/m.json is `cache: false`, so Git has its history: use `git log o/m.json`.\n"
        )


def test_a_fingerprint_that_is_cut_is_not_taken_for_an_answer(
    three: list[str], history: History
) -> None:
    fingerprint = history.tags(three[0])["dvc.data_hash"]
    assert "whole fingerprint" not in mlflow_dvc("find", "--data-hash", fingerprint).stdout
    shown = mlflow_dvc("find", "--data-hash", fingerprint[:12]).stdout
    assert "is not a whole fingerprint" in shown


def test_a_run_on_data_that_was_edited_is_named(project: Project, history: History) -> None:
    project.add("a", "1")
    clean = history.run()
    project.write("a", "edited")
    edited = history.run()
    assert history.tags(edited)["dvc.status"] == "modified"
    done = mlflow_dvc("find", "--path", "a", "--json")
    assert [(run["run_id"], run.get("modified")) for run in done.json] == [
        (edited, ["a"]),
        (clean, None),
    ]
    assert f"may have read something else: {edited}." in done.stderr
    shown = mlflow_dvc("find", "--path", "a").stdout.splitlines()
    assert ["input, modified  a" in line for line in shown[1:3]] == [True, False]


def test_find_without_options_goes_by_the_data_that_is_there(
    three: list[str], project: Project
) -> None:
    first, second, third = three
    project.write("data/a.csv", "2")
    assert ids() == []
    project.write("data/images/x.txt", "image 2")
    done = mlflow_dvc("find", "--json")
    assert ([run["run_id"] for run in done.json], done.stderr) == ([second], "")
    # What is not there contradicts no run.
    project.lose("data/images")
    done = mlflow_dvc("find", "--json")
    assert done.json == []
    assert done.stderr == (
        "The hash of data/images was taken from the metafile: it is not in the workspace.\n"
    )
    project.write("data/a.csv", "1")
    assert ids() == [third, first]


def test_a_workspace_without_data_is_no_search(project: Project, history: History) -> None:
    history.run()
    assert "DVC tracks no data in this workspace" in mlflow_dvc("find").error
    assert "recorded no data" in mlflow_dvc("pin", history.run()).error
    (problem, *_) = mlflow_dvc("status", "--json").json["problems"]
    assert problem.startswith("DVC tracks no data here")
    assert project


def test_many_runs_on_edited_data_are_counted(project: Project, history: History) -> None:
    project.add("a", "1")
    project.write("a", "edited")
    for _ in range(5):
        history.run()
    *_, last = mlflow_dvc("find", "--path", "a").stdout.splitlines()
    assert last.endswith(" and 2 more.")


def test_an_edited_path_with_a_comma_is_named(project: Project, history: History) -> None:
    for name in ("a,b.csv", "c,d/x"):
        project.write(name, "1")
    project.add("a,b.csv")
    project.add("c,d")
    project.write("a,b.csv", "edited")
    project.write("c,d/more", "edited")
    history.run()
    (found,) = mlflow_dvc("find", "--path", "a,b.csv", "--json").json
    assert found["modified"] == ["a,b.csv"]
    (found,) = mlflow_dvc("find", "--hash", md5("1"), "--json").json
    assert found["modified"] == found["paths"] == ["a,b.csv", "c,d/x"]


def test_the_hash_of_a_folder_is_found_without_any_listing(
    three: list[str], project: Project
) -> None:
    tag = mlflow_dvc("show", three[1], "--json").json
    (folder,) = [e["hash"] for e in tag["entries"] if e["path"] == "data/images"]
    project.lose()
    done = mlflow_dvc("find", "--hash", folder, "--json")
    assert ([run["run_id"] for run in done.json], done.stderr) == ([three[1]], "")


def test_an_out_outside_the_project_is_not_called_modified(
    project: Project, history: History, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("1")
    value = md5("1")
    project.write("x.dvc", f"outs:\n- md5: {value}\n  hash: md5\n  path: {outside}\n")
    history.run()
    (found,) = mlflow_dvc("find", "--hash", value, "--json").json
    assert found["paths"] == [str(outside)]
    assert not found.get("modified")
