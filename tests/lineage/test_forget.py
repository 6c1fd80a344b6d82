"""Forgetting: exactly the named objects are deleted, and everything that rests on them is told."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from dvc.exceptions import DownloadError

from mlflow_dvc_plugin.lineage.forgetting.deletion import delete
from mlflow_dvc_plugin.lineage.forgetting.survey import survey
from mlflow_dvc_plugin.lineage.forgetting.targets import parse_targets
from mlflow_dvc_plugin.lineage.retention import storage_problems
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring import list_undo_records
from tests.effort import bounded
from tests.history import Done, History, mlflow_dvc
from tests.project import Project
from tests.record import snapshot

TODAY = time.strftime("%Y-%m-%d", time.gmtime())
ANNA, ONE, TWO = (hashlib.md5(text).hexdigest() for text in (b"anna\n", b"one", b"two"))
KILLS = bounded(4, 40)
OBJECTS = bounded(30, 100)
RUNS = bounded(20, 60)
# What DVC's own listing of the folder is called.
IMAGES = "2fb15e03bd777b423ce11f427d7dd5b0"


@pytest.fixture
def run_id(project: Project, history: History) -> str:
    project.add("people.csv", "anna\n")
    project.write("images/1.txt", "one")
    project.write("images/2.txt", "two")
    project.add("images")
    project.commit("data")
    project.push()
    return history.run()


def stored(folder: Path) -> set[str]:
    """The hashes of the objects in a cache or a remote that is a folder."""
    return {f"{path.parent.name}{path.name}" for path in folder.rglob("??/*") if path.is_file()}


def forget(*hashes: str, delete: bool = True) -> Done:
    options = [text for value in hashes for text in ("--hash", value)]
    return mlflow_dvc("forget", *options, *(["--delete", "--yes"] if delete else []), "--json")


def everything(project: Project, tmp_path: Path, history: History, run_id: str) -> list[Any]:
    """All that a command could change."""
    times = {path: path.stat().st_mtime_ns for path in project.path.rglob(".dvc/cache/**/*")}
    folders = snapshot(project.path), snapshot(tmp_path / "remote")
    return [*folders, times, history.tags(run_id), project.git("for-each-ref")]


def test_a_report_names_what_rests_on_the_objects_and_changes_nothing(
    run_id: str, project: Project, history: History, tmp_path: Path
) -> None:
    mlflow_dvc("pin", run_id)
    project.git("tag", "-a", "-m", "annotated", "v1")
    project.git("branch", "side")
    project.add("people.csv", "bert\n")
    project.add("copy.csv", "one")
    project.commit("more")
    mlflow_dvc("restore", run_id, "people.csv")
    project.git("checkout", "-q", "people.csv.dvc")
    before = everything(project, tmp_path, history, run_id)
    found = forget(ANNA.upper(), ONE, delete=False).json
    assert everything(project, tmp_path, history, run_id) == before
    assert found["hashes"] == [ANNA, ONE]
    (used,) = found["runs"]
    assert (used["run_id"], used["paths"]) == (run_id, ["images/1.txt", "people.csv"])
    assert used["hashes"] == {"images/1.txt": ONE, "people.csv": ANNA}
    where = {"cache": True, "remotes": ["store"], "links": 0}
    assert sorted(found["objects"], key=lambda obj: obj["size"]) == [
        {"hash": ONE, "size": 3, **where},
        {"hash": ANNA, "size": 5, **where},
    ]
    (folder,) = found["folders"]
    assert folder["hash"] == f"{IMAGES}.dir"
    assert (folder["files"], folder["remotes"]) == ({"1.txt": ONE}, ["store"])
    refs = {ref["ref"]: ref["metafiles"] for ref in found["refs"]}
    both = ["images.dvc", "people.csv.dvc"]
    pin = f"refs/tags/mlflow-dvc/{run_id}"
    main = ["copy.csv.dvc", "images.dvc"]
    assert refs == {"refs/heads/main": main, "refs/heads/side": both, "refs/tags/v1": both,
                    pin: both}  # fmt: skip
    assert found["workspace"] == ["copy.csv", "images/1.txt", "people.csv"]
    assert (found["unknown"], found["deleted"], found["models"]) == ({}, [], [])
    shown = mlflow_dvc("forget", "--hash", ANNA).stdout
    assert "It is not known which other projects use this cache or these remotes" in shown


def test_exactly_the_named_objects_are_deleted(
    run_id: str, project: Project, history: History, tmp_path: Path
) -> None:
    cache, remote = project.path / ".dvc/cache", tmp_path / "remote"
    before, workspace = stored(cache), snapshot(project.path)
    assert stored(remote) == before
    done = forget(ANNA, ONE).json
    assert {obj["hash"] for obj in done["deleted"]} == {ANNA, ONE}
    assert stored(cache) == stored(remote) == before - {ANNA, ONE}
    assert f"{IMAGES}.dir" in stored(cache)
    assert snapshot(project.path) == workspace
    assert history.tags(run_id)["dvc.forgotten"] == f"2 objects, {TODAY}"
    assert not [value for key, value in history.tags(run_id).items() if key == "dvc.forgotten"
                and (ANNA[:6] in value or ONE[:6] in value)]  # fmt: skip
    # DVC itself cannot bring them back.
    project.lose("people.csv", "images")
    with project.opened() as repo, pytest.raises(DownloadError):
        repo.pull()
    assert not (project.path / "people.csv").exists()
    assert stored(cache) <= {TWO, f"{IMAGES}.dir"}


@pytest.mark.parametrize("suffix", ["", ".dir"])
def test_a_folders_hash_is_that_of_its_listing_alone(
    run_id: str, project: Project, history: History, tmp_path: Path, suffix: str
) -> None:
    shown = mlflow_dvc("forget", "--hash", IMAGES + suffix).stdout
    assert "The objects of its 2 files are not among these" in shown
    done = forget(IMAGES + suffix).json
    assert [obj["hash"] for obj in done["deleted"]] == [f"{IMAGES}.dir"]
    assert stored(project.path / ".dvc/cache") == stored(tmp_path / "remote") == {ANNA, ONE, TWO}
    assert history.tags(run_id)["dvc.forgotten"] == f"1 object, {TODAY}"


def test_the_hash_of_a_file_is_not_that_of_a_folder(run_id: str, project: Project) -> None:
    done = forget(f"{ANNA}.dir").json
    assert (done["objects"], done["runs"], done["deleted"]) == ([], [], [])
    assert ANNA in stored(project.path / ".dvc/cache")
    assert run_id


def test_a_part_of_a_hash_is_refused(run_id: str, project: Project) -> None:
    for value in (ANNA[:6], ANNA[:31], f"{ANNA}0", "../../etc/passwd", "*", " "):
        for options in ([], ["--delete", "--yes"]):
            done = mlflow_dvc("forget", "--hash", value, *options)
            assert done.code == 2
            assert "is not a whole MD5 hash" in done.stderr
    assert ANNA in stored(project.path / ".dvc/cache")
    assert run_id


def test_a_list_of_hashes_and_files_of_the_disk(
    run_id: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "found.csv"
    elsewhere.write_bytes(b"anna\r\n")
    # A text file had another hash in DVC 2.
    windows = hashlib.md5(b"anna\r\n").hexdigest()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{ONE}  images/1.txt\n\n\\{TWO}\n"))
    found = mlflow_dvc("forget", "--hash", "-", str(elsewhere), "images", "--json").json
    assert found["hashes"] == [ONE, TWO, windows, ANNA, f"{IMAGES}.dir"]
    assert [obj["hash"] for obj in found["objects"]] == sorted([ANNA, ONE, TWO, f"{IMAGES}.dir"])
    assert "There is no nowhere.csv" in mlflow_dvc("forget", "nowhere.csv").error
    nothing = mlflow_dvc("forget")
    assert (nothing.code, nothing.stdout) == (2, "")
    assert nothing.stderr.endswith("Error: Name a hash with --hash, or a file.\n")
    assert run_id
    assert project


def test_all_remotes_and_both_parts_of_each(
    project: Project, history: History, tmp_path: Path
) -> None:
    project.remote(tmp_path / "own", "own")
    project.remote(tmp_path / "remote")
    project.add("a.csv", "anna\n")
    metafile = project.path / "a.csv.dvc"
    metafile.write_text(f"{metafile.read_text()}  remote: own\n")
    project.push()
    assert stored(tmp_path / "own") == {ANNA}
    for folder in (tmp_path / "remote", project.path / ".dvc/cache"):
        project.write(str(folder / ANNA[:2] / ANNA[2:]), "anna\n").chmod(0o444)
    (obj,) = forget(ANNA).json["deleted"]
    assert (obj["cache"], obj["remotes"]) == (True, ["own", "store"])
    assert not stored(tmp_path / "own") | stored(tmp_path / "remote")
    assert not stored(project.path / ".dvc/cache")
    assert history


def test_nothing_is_deleted_where_nobody_confirms(
    run_id: str, project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["forget", "--hash", ANNA, "--delete"]
    done = mlflow_dvc(*arguments)
    assert (done.code, "--delete needs --yes" in done.stderr) == (2, True)
    assert mlflow_dvc("forget", "--hash", ANNA, "--yes").code == 2

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert mlflow_dvc(*arguments, "--json").code == 2
    for typed in ("\n", "yes\n", "1\n", ""):
        monkeypatch.setattr(sys, "stdin", Terminal(typed))
        assert mlflow_dvc(*arguments).code in (1, 130), typed
    assert ANNA in stored(project.path / ".dvc/cache")
    assert "dvc.forgotten" not in history.tags(run_id)
    monkeypatch.setattr(sys, "stdin", Terminal("forget\n"))
    done = mlflow_dvc(*arguments)
    assert done.code == 0
    assert "Type forget to delete 1 object for ever" in done.stderr
    assert "Deleted 1 object" in done.stdout
    assert ANNA not in stored(project.path / ".dvc/cache")


def test_several_deletions_of_a_run_add_up_and_a_repeated_one_does_not(
    run_id: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgotten(run: str = run_id) -> str:
        return history.tags(run)["dvc.forgotten"]

    def on(date: str) -> None:
        monkeypatch.setattr("time.gmtime", partial(time.strptime, date, "%Y-%m-%d"))

    on("2026-11-26")
    forget(ANNA)
    assert forgotten() == "1 object, 2026-11-26"
    on("2026-12-03")
    assert forget(ANNA).json["deleted"] == []
    assert forgotten() == "1 object, 2026-11-26"
    later = history.run()
    forget(ANNA, ONE)
    assert forgotten() == "2 objects, 2026-11-26 to 2026-12-03"
    assert forgotten(later) == "2 objects, 2026-12-03"
    on("2026-12-24")
    forget(IMAGES, ANNA, ONE)
    assert forgotten() == "3 objects, 2026-11-26 to 2026-12-24"


def test_check_tells_what_was_forgotten_from_what_is_lost(
    run_id: str, project: Project, history: History, tmp_path: Path
) -> None:
    forget(ANNA, ONE)
    done = mlflow_dvc("check", run_id, "--json")
    (found,) = done.json
    assert (done.code, found["restorable"]) == (1, False)
    assert found["reason"] == f"forgotten on {TODAY}: images/1.txt, people.csv"
    assert found["forgotten"] == f"2 objects, {TODAY}"
    for folder in (project.path / ".dvc/cache", tmp_path / "remote"):
        (folder / "files/md5" / TWO[:2] / TWO[2:]).unlink()
    (found,) = mlflow_dvc("check", run_id, "--json").json
    assert found["reason"] == (
        "neither in the cache nor in the remote: images/1.txt, images/2.txt, people.csv; "
        f"2 of these objects were forgotten on {TODAY}"
    )
    error = mlflow_dvc("restore", run_id, "--out", "out", "--skip-forgotten").error
    assert "images/2.txt (not in the remote)" in error
    assert f"2 objects of the run were forgotten on {TODAY}." in error
    assert history


def test_the_same_object_at_two_paths_is_one(project: Project, history: History) -> None:
    project.add("a.csv", "anna\n")
    project.write("folder/b.csv", "anna\n")
    project.add("folder")
    run_id = history.run()
    forget(ANNA)
    assert history.tags(run_id)["dvc.forgotten"] == f"1 object, {TODAY}"
    (found,) = mlflow_dvc("check", run_id, "--json").json
    assert found["reason"] == f"forgotten on {TODAY}: a.csv, folder/b.csv"


def test_status_says_what_was_forgotten(run_id: str, project: Project, history: History) -> None:
    assert mlflow_dvc("status", "--json").json["problems"] == []
    forget(ANNA, ONE)
    problems = mlflow_dvc("status", "--json").json["problems"]
    assert problems == [
        f"images/1.txt, people.csv: forgotten on {TODAY}. A run that needs it cannot be restored."
    ]
    project.lose()
    (project.path / "people.csv").unlink()
    forgotten, *others = mlflow_dvc("status", "--json").json["problems"][1:]
    assert forgotten.startswith(f"people.csv: forgotten on {TODAY}")
    assert others == ["Not in the DVC cache: images. `dvc fetch` downloads it."]
    assert run_id
    assert history


def test_status_does_not_call_lost_data_forgotten(
    run_id: str, project: Project, tmp_path: Path
) -> None:
    forget(ANNA)
    for folder in (project.path / ".dvc/cache", tmp_path / "remote"):
        (folder / "files/md5" / TWO[:2] / TWO[2:]).unlink()
    problems = mlflow_dvc("status", "--json").json["problems"]
    assert not [problem for problem in problems if "forgotten" in problem]
    assert run_id


def test_restore_refuses_and_then_brings_the_rest(run_id: str, project: Project) -> None:
    metafiles = {path.name: path.read_bytes() for path in project.path.glob("[a-z]*.dvc")}
    for name, content in (("people.csv", "bert\n"), ("images/1.txt", "eins"), ("images/2.txt", "")):
        project.write(name, content)
    for name in ("people.csv", "images"):
        project.add(name)
    project.commit("newer")
    newer = snapshot(project.path)
    forget(ANNA, ONE)
    error = mlflow_dvc("restore", run_id).error
    assert f"images/1.txt, people.csv were forgotten on {TODAY}" in error
    assert "--skip-forgotten" in error
    assert snapshot(project.path) == newer

    planned = mlflow_dvc("restore", run_id, "--skip-forgotten", "--dry-run", "--json").json
    assert snapshot(project.path) == newer
    done = mlflow_dvc("restore", run_id, "--skip-forgotten", "--json").json
    when = f"forgotten on {TODAY}"
    assert done["forgotten"] == planned["forgotten"] == {"images/1.txt": when, "people.csv": when}
    assert {path.name: path.read_bytes() for path in project.path.glob("[a-z]*.dvc")} == metafiles
    assert {
        name: data
        for name, data in snapshot(project.path).items()
        if name.startswith(("images/", "people.csv")) and not name.endswith(".dvc")
    } == {"images/2.txt": b"two"}
    # DVC sees what is absent, and nothing else.
    changes = project.data_status()["uncommitted"]
    assert sorted(changes.pop("deleted")) == ["images/1.txt", "people.csv"]
    assert changes == {"modified": ["images/"]}
    again = mlflow_dvc("restore", run_id, "--skip-forgotten")
    assert again.code == 0
    assert f"people.csv: {when}, and not restored" in again.stdout
    assert mlflow_dvc("undo").code == 0
    assert snapshot(project.path) == newer
    assert ANNA not in stored(project.path / ".dvc/cache")


def test_the_rest_is_restored_into_a_folder_and_into_a_worktree(
    run_id: str, project: Project, tmp_path: Path
) -> None:
    forget(ANNA, ONE)
    project.lose("people.csv", "images")
    for option in ("--out", "--worktree"):
        folder = tmp_path / option
        done = mlflow_dvc("restore", run_id, option, str(folder), "--skip-forgotten", "--json")
        assert sorted(done.json["forgotten"]) == ["images/1.txt", "people.csv"]
        data = {name for name in snapshot(folder) if name.endswith((".txt", ".csv"))}
        assert data == {"images/2.txt"}


def test_a_folder_whose_listing_was_forgotten_is_left_out(
    run_id: str, project: Project, tmp_path: Path
) -> None:
    forget(IMAGES)
    project.lose("people.csv", "images")
    assert f"images was forgotten on {TODAY}" in mlflow_dvc("restore", run_id).error
    done = mlflow_dvc("restore", run_id, "--skip-forgotten", "--json").json
    assert (done["added"], list(done["forgotten"])) == (["people.csv"], ["images"])
    assert not [name for name in snapshot(project.path) if name.startswith("images/")]
    only = mlflow_dvc("restore", run_id, "images", "--out", str(tmp_path / "x"), "--skip-forgotten")
    assert f"images: forgotten on {TODAY}" in only.error


def test_restore_does_not_bring_a_forgotten_object_back_to_the_cache(
    run_id: str, project: Project
) -> None:
    forget(ANNA, ONE)
    (project.path / "images/2.txt").unlink()
    done = mlflow_dvc("restore", run_id, "--json").json
    assert (done["modified"] or done["added"], done["unchanged"]) == (["images"], ["people.csv"])
    assert not {ANNA, ONE} & stored(project.path / ".dvc/cache")
    assert (project.path / "people.csv").read_text() == "anna\n"


def test_what_cannot_be_told_is_not_called_forgotten(
    run_id: str, project: Project, tmp_path: Path
) -> None:
    forget(ANNA)
    project.lose("people.csv")
    (tmp_path / "remote").rename(tmp_path / "away")
    (found,) = mlflow_dvc("check", run_id, "--json").json
    assert found["restorable"] is None
    assert "forgotten" not in found["reason"]
    (tmp_path / "away/files").rename(tmp_path / "files")
    done = mlflow_dvc("restore", run_id, "people.csv", "--skip-forgotten")
    assert "people.csv (nothing was pushed to the remote yet" in done.error


class ReadOnly(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def read_only(project: Project, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """A second remote, over HTTP, which has the first one's objects and deletes nothing."""
    handler = partial(ReadOnly, directory=str(tmp_path / "mirror"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def fill() -> None:
        shutil.copytree(tmp_path / "remote", tmp_path / "mirror")
        with project.opened() as repo, repo.config.edit() as config:
            config["remote"]["web"] = {"url": f"http://127.0.0.1:{server.server_port}"}

    yield fill
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_remote_that_refuses_leaves_the_deletion_open_until_it_is_done(
    run_id: str,
    project: Project,
    history: History,
    tmp_path: Path,
    read_only: Callable[[], None],
) -> None:
    read_only()
    shown = mlflow_dvc("forget", "--hash", ANNA).stdout
    assert "Folders that only the remote web has were not searched" in shown
    done = forget(ANNA)
    assert done.code == 1
    assert f"{ANNA} was not deleted from the remote web" in done.stderr
    assert "Run the same command again" in done.stderr
    assert history.tags(run_id)["dvc.forgotten"] == f"deleting 1 object since {TODAY}"
    assert ANNA not in stored(project.path / ".dvc/cache") | stored(tmp_path / "remote")
    (tmp_path / "mirror/files/md5" / ANNA[:2] / ANNA[2:]).unlink()
    assert forget(ANNA).code == 0
    assert history.tags(run_id)["dvc.forgotten"] == f"1 object, {TODAY}"
    (found,) = mlflow_dvc("check", run_id, "--json").json
    assert found["reason"] == f"forgotten on {TODAY}: people.csv"


@pytest.mark.slow
def test_a_remote_that_does_not_answer_is_told_and_asked_again(
    run_id: str, project: Project, history: History, tmp_path: Path, read_only: Callable[[], None]
) -> None:
    read_only()
    with project.opened() as repo, repo.config.edit() as config:
        address = config["remote"]["web"]["url"]
        config["remote"]["web"]["url"] = "http://127.0.0.1:9"
    found = forget(ANNA, delete=False)
    assert list(found.json["unknown"]) == ["web"]
    assert "The remote web was not searched: it does not answer" in found.stderr
    done = forget(ANNA)
    assert (done.code, "The remote web does not answer" in done.stderr) == (1, True)
    assert history.tags(run_id)["dvc.forgotten"].startswith("deleting 1 object")
    (tmp_path / "mirror/files/md5" / ANNA[:2] / ANNA[2:]).unlink()
    with project.opened() as repo, repo.config.edit() as config:
        config["remote"]["web"]["url"] = address
    assert forget(ANNA).code == 0
    assert history.tags(run_id)["dvc.forgotten"] == f"1 object, {TODAY}"


def test_a_remote_without_a_folder_has_nothing_and_is_told(
    run_id: str, project: Project, history: History, tmp_path: Path
) -> None:
    project.remote(tmp_path / "never", "never")
    (tmp_path / "never").rmdir()
    done = forget(ANNA)
    assert done.code == 0
    assert (
        "The remote never was not searched: nothing was pushed" in forget(ANNA, delete=False).stderr
    )
    assert history.tags(run_id)["dvc.forgotten"] == f"1 object, {TODAY}"


def test_models_versions_and_aliases_of_the_runs(run_id: str, history: History) -> None:
    other = history.run(tags={})
    client = history.client
    for name, source in (("churn", run_id), ("other", other)):
        client.create_registered_model(name)
        for _ in range(2):
            client.create_model_version(name, f"runs:/{source}/model", source)
        client.set_registered_model_alias(name, "champion", "2")
    common = {"name": "churn", "run_id": run_id}
    expected = [
        {**common, "uri": "models:/churn/1", "version": "1", "aliases": []},
        {**common, "uri": "models:/churn/2", "version": "2", "aliases": ["champion"]},
    ]
    if hasattr(client, "create_logged_model"):
        logged = client.create_logged_model("0", name="forest", source_run_id=run_id)
        client.create_logged_model("0", name="elsewhere", source_run_id=other)
        uri = f"models:/{logged.model_id}"
        expected.append({"uri": uri, "name": "forest", "run_id": run_id, "aliases": []})
    found = forget(ANNA, delete=False).json["models"]
    assert sorted(found, key=itemgetter("uri")) == sorted(expected, key=itemgetter("uri"))
    assert "models:/churn/2 (@champion)" in mlflow_dvc("forget", "--hash", ANNA).stdout


def test_a_stage_that_only_recorded_the_data_is_found_and_marked(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("people.csv", "anna\n")
    project.add("used.csv", "used")
    project.write("dvc.yaml", "stages:\n  train:\n    cmd: cp used.csv m\n    deps: [used.csv]\n")
    monkeypatch.setenv("DVC_STAGE", "train")
    run_id = history.run()
    monkeypatch.delenv("DVC_STAGE")
    assert history.tags(run_id)["dvc.stage"] == "train"
    (found,) = forget(ANNA).json["runs"]
    assert found["roles"] == {"people.csv": "recorded"}
    assert history.tags(run_id)["dvc.forgotten"] == f"1 object, {TODAY}"


def test_what_a_run_made_is_found_by_its_link(project: Project, history: History) -> None:
    project.add("people.csv", "anna\n")
    run_id = history.run(tags={**history.tags(history.run()), "dvc.out.model.pkl": ONE})
    (found,) = forget(ONE, delete=False).json["runs"]
    assert (found["run_id"], found["roles"]) == (run_id, {"model.pkl": "output"})


def test_nothing_is_deleted_while_a_stage_runs(
    run_id: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    assert (
        "DVC is running stage" in mlflow_dvc("forget", "--hash", ANNA, "--delete", "--yes").stderr
    )
    assert ANNA in stored(project.path / ".dvc/cache")
    assert run_id


@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_links_in_the_workspace_are_told(project: Project, history: History, link: str) -> None:
    project.dvc("config", "cache.type", link)
    project.add("people.csv", "anna\n")
    history.run()
    shown = mlflow_dvc("forget", "--hash", ANNA).stdout
    (obj,) = forget(ANNA).json["deleted"]
    assert obj["links"] == (link == "hardlink")
    if link == "hardlink":
        assert "Files in the workspace:\n  people.csv" in shown
        assert f"Other files on this machine are hard links to {ANNA}" in shown
        assert (project.path / "people.csv").read_text() == "anna\n"
    else:
        assert "Links in the workspace to cached objects, which will lead nowhere:" in shown
        assert not (project.path / "people.csv").exists()


def test_undo_records_that_refer_to_the_objects_are_told(run_id: str, project: Project) -> None:
    project.add("people.csv", "bert\n")
    mlflow_dvc("restore", run_id, "people.csv")
    (record,) = list_undo_records(str(project.path))
    bert = hashlib.md5(b"bert\n").hexdigest()
    assert forget(bert, delete=False).json["undo_records"] == [record.record_id]
    assert forget(TWO, delete=False).json["undo_records"] == []


def test_a_tag_with_another_meaning_means_nothing(
    run_id: str, project: Project, history: History, tmp_path: Path
) -> None:
    history.client.set_tag(run_id, "dvc.forgotten", "\x1b[2J2 objects, 2026-11-26")
    shutil.rmtree(tmp_path / "remote/files/md5" / ANNA[:2])
    project.lose("people.csv")
    (found,) = mlflow_dvc("check", run_id, "--json").json
    assert found["reason"] == "neither in the cache nor in the remote: people.csv"
    error = mlflow_dvc("restore", run_id, "--skip-forgotten").error
    assert "people.csv (not in the remote)" in error
    assert "\x1b" not in mlflow_dvc("forget", "--hash", ANNA).stdout
    assert forget(ANNA).code == 0
    assert history.tags(run_id)["dvc.forgotten"] == f"1 object, {TODAY}"


def test_a_lying_tag_costs_nobody_a_file(run_id: str, project: Project, history: History) -> None:
    """Whoever can write tags can call lost data forgotten, and no more than that."""
    project.add("people.csv", "bert\n")
    project.commit("newer")
    project.write("people.csv", "never added")
    shutil.rmtree(project.path / ".dvc/cache/files/md5" / ANNA[:2])
    shutil.rmtree(project.path.parent / "remote/files/md5" / ANNA[:2])
    history.client.set_tag(run_id, "dvc.forgotten", "999 objects, 2026-01-01")
    assert "never" not in mlflow_dvc("restore", run_id, "--skip-forgotten").error
    assert (project.path / "people.csv").read_text() == "never added"
    assert mlflow_dvc("restore", run_id, "--skip-forgotten", "--force").code == 0
    assert not (project.path / "people.csv").exists()
    assert mlflow_dvc("undo").code == 0
    assert (project.path / "people.csv").read_text() == "never added"


def test_paths_in_tags_lead_nowhere(
    run_id: str, project: Project, history: History, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("anna\n")
    os.mkfifo(project.path / "pipe")
    tags = history.tags(run_id)
    for number, path in enumerate(("../secret", str(tmp_path / "secret"), "pipe", "a\x1b[2J")):
        key = "dvc.out." + (
            "x" * number if "\x1b" in path or ".." in path or path[0] == "/" else path
        )
        history.run(tags={**tags, key: ANNA})
    found = forget(ANNA, delete=False).json
    assert len(found["runs"]) == 5
    assert found["workspace"] == ["people.csv"]
    assert "\x1b" not in mlflow_dvc("forget", "--hash", ANNA).stdout


def test_runs_that_cannot_be_read_may_rest_on_it(run_id: str, history: History) -> None:
    tags = history.tags(run_id)
    broken = {key: value for key, value in tags.items() if not key.startswith("dvc.data.")}
    history.run(tags={**broken, "dvc.data_hash": "0" * 32, "dvc.manifest": "1:1:0:zz"})
    shown = mlflow_dvc("forget", "--hash", ANNA).stdout
    assert "1 other run may match too: the recorded state cannot be read." in shown


def test_dvc_pushes_a_forgotten_object_again_only_from_a_copy(
    run_id: str, project: Project, tmp_path: Path
) -> None:
    """DVC must not take it for granted that the remote still has what was deleted there."""
    forget(ANNA)
    project.push()
    assert ANNA not in stored(tmp_path / "remote")
    project.add("people.csv")  # the workspace still has the file
    project.push()
    assert ANNA in stored(tmp_path / "remote")
    assert run_id


def test_two_deletions_at_once_add_up(run_id: str, history: History) -> None:
    surveys = [survey(parse_targets([value]), history.uri, Progress()) for value in (ANNA, ONE)]
    for each in surveys:
        assert delete(each, history.uri, Progress()).failed == []
    assert history.tags(run_id)["dvc.forgotten"] == f"2 objects, {TODAY}"


@pytest.mark.slow
@pytest.mark.timeout(600 + 30 * KILLS)
def test_killed_at_any_instant_it_goes_on_when_it_is_run_again(
    project: Project, history: History, tmp_path: Path
) -> None:
    cache, remote = project.path / ".dvc/cache", tmp_path / "remote"
    command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "forget", "--hash", "-"]
    whole, interrupted = 0.0, 0
    for number in range(KILLS + 1):
        contents = [f"{number} {person}" for person in range(OBJECTS)]
        hashes = [hashlib.md5(content.encode()).hexdigest() for content in contents]
        for person, content in enumerate([*contents, "other"]):
            project.write(f"people/{person}.txt", content)
        project.add("people")
        project.push()
        shutil.copytree(cache, remote, dirs_exist_ok=True)  # DVC takes its listing's word
        runs = [history.run() for _ in range(RUNS)]
        started = time.monotonic()
        process = subprocess.Popen(
            [*command, "--delete", "--yes"],
            cwd=project.path,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        with process.stdin as stream:
            stream.write("\n".join(hashes).encode())
        if number:
            time.sleep(whole * (0.4 + 0.6 * (number - 0.5) / KILLS))
            process.send_signal(signal.SIGKILL if number % 2 else signal.SIGINT)
        code = process.wait()
        whole = whole or time.monotonic() - started
        interrupted += code != 0
        left = [value for value in hashes if value in stored(cache) & stored(remote)]
        tags = {history.tags(run_id).get("dvc.forgotten") for run_id in runs}
        final = {f"{OBJECTS} objects, {TODAY}"}
        if len(left) < OBJECTS:
            assert None not in tags
        if tags & final:
            assert not set(hashes) & (stored(cache) | stored(remote))
        options = [option for value in hashes for option in ("--hash", value)]
        assert mlflow_dvc("forget", *options, "--delete", "--yes").code == 0
        assert {history.tags(run_id)["dvc.forgotten"] for run_id in runs} == final
        assert stored(cache) == stored(remote)
        assert len(stored(cache)) == 2 + number
    assert interrupted


def test_outside_a_project_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "not in a DVC project" in mlflow_dvc("forget", "--hash", ANNA).error


def test_without_git(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path / "plain", git=False)
    monkeypatch.chdir(project.path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    project.add("people.csv", "anna\n")
    History(store, project.path).run()
    done = forget(ANNA)
    assert (done.code, done.json["refs"]) == (0, [])


def test_lost_data_is_not_called_forgotten_because_other_data_of_the_run_was(
    run_id: str, project: Project, tmp_path: Path
) -> None:
    """The tag has only a number, so all of the run counts, and not only what is restored."""
    forget(ONE)
    for folder in (project.path / ".dvc/cache", tmp_path / "remote"):
        shutil.rmtree(folder / "files/md5" / ANNA[:2])
    (project.path / "people.csv").unlink()
    for options in ([], ["people.csv"], ["people.csv", "--dry-run"]):
        done = mlflow_dvc("restore", run_id, "--skip-forgotten", *options)
        assert "The DVC cache lacks people.csv (not in the remote)." in done.error
        assert f"1 object of the run was forgotten on {TODAY}." in done.error
    # What is lost, but is still in the workspace, is saved; what was forgotten is not.
    project.write("people.csv", "anna\n")
    (project.path / "images/2.txt").unlink()
    assert mlflow_dvc("restore", run_id, "images", "people.csv").code == 0


@pytest.mark.parametrize("kind", ["file", pytest.param("server", marks=pytest.mark.slow)])
def test_other_stores(
    kind: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = tmp_path / "mlruns"
    uri = folder.as_uri() if kind == "file" else request.getfixturevalue("server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    project.add("people.csv", kind)
    history = History(uri, project.path)
    run_id = history.run()
    name = f"forget-{kind}"
    history.client.create_registered_model(name)
    history.client.create_model_version(name, f"runs:/{run_id}/model", run_id)
    history.client.set_registered_model_alias(name, "champion", "1")
    done = forget(hashlib.md5(kind.encode()).hexdigest())
    assert [(m["version"], m["aliases"]) for m in done.json["models"]] == [("1", ["champion"])]
    assert history.tags(run_id)["dvc.forgotten"] == f"1 object, {TODAY}"
    (project.path / "people.csv").unlink()
    (problem, *_) = mlflow_dvc("status", "--json").json["problems"][1:]
    assert problem.startswith(f"people.csv: forgotten on {TODAY}")


def test_another_dvc_command_is_waited_for_and_named(
    run_id: str, project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0)
    with project.opened() as repo, repo.lock:
        done = forget(ANNA)
    assert (done.code, "Another DVC command" in done.stderr) == (1, True)
    assert ANNA in stored(project.path / ".dvc/cache")
    assert "dvc.forgotten" not in history.tags(run_id)
    assert forget(ANNA).code == 0
    assert history.tags(run_id)["dvc.forgotten"] == f"1 object, {TODAY}"


def test_copies_that_killed_commands_left_in_the_cache_go_too(
    run_id: str, project: Project, tmp_path: Path
) -> None:
    cache, remote = project.path / ".dvc/cache", tmp_path / "remote"
    gone = [
        cache / "files/md5" / ANNA[:2] / ".abc.tmp",
        cache / "files/md5/.abc.tmp",
        cache / ANNA[:2] / ".abc.tmp",
        cache / "mlflow-dvc/0123/7",
        remote / "files/md5" / ANNA[:2] / ".abc.tmp",
    ]
    kept = [path.with_name(f"{path.name[:-4]}-other.tmp") for path in gone[:3]]
    for path in gone:
        project.write(str(path), "anna\n")
    for path in kept:
        project.write(str(path), "ann")
    forget(ANNA)
    assert [path for path in (*gone, *kept) if path.exists()] == kept
    assert run_id


def test_a_folder_that_was_never_fetched_is_named_as_a_whole(
    run_id: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (ONE, TWO):
        (project.path / ".dvc/cache/files/md5" / value[:2] / value[2:]).unlink()
    several = "Not in the DVC cache: images/1.txt, images/2.txt. `dvc fetch` downloads it."
    assert mlflow_dvc("status", "--json").json["problems"] == [several]
    monkeypatch.setattr(storage_problems, "_MOST_FILES", 1)
    whole = "Not in the DVC cache: images. `dvc fetch` downloads it."
    assert mlflow_dvc("status", "--json").json["problems"] == [whole]
    assert run_id
