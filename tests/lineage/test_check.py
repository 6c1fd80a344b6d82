"""Can runs be restored: the answer, against a restore itself."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mlflow_dvc_plugin.errors import MissingObjectsError
from mlflow_dvc_plugin.lineage import recorded_states
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState
from mlflow_dvc_plugin.tracking import Run, store
from tests.history import History, mlflow_dvc
from tests.project import Project


@pytest.fixture
def run_id(project: Project, history: History) -> str:
    project.add("data/a.csv", "a")
    project.write("data/images/1.txt", "one")
    project.write("data/images/2.txt", "two")
    project.add("data/images")
    project.push()
    return history.run()


def remove(folder: Path, *contents: bytes) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and any(content in path.read_bytes() for content in contents):
            path.unlink()


def checked(*args: str) -> tuple[int, Any]:
    done = mlflow_dvc("check", *args, "--json")
    return done.code, done.json


@pytest.mark.versions
def test_everything_in_cache_and_remote(run_id: str) -> None:
    code, (found,) = checked(run_id)
    assert code == 0
    assert set(found) == {"run_id", "restorable", "reason", "entries"}
    assert (found["run_id"], found["restorable"], found["reason"]) == (run_id, True, "")
    assert found["entries"][0] == {
        "path": "data/a.csv",
        "hash": "0cc175b9c0f1b6a831c399e269772661",
        "cache": True,
        "remote": True,
        "missing": [],
    }


@pytest.mark.parametrize(
    ("gone_from_cache", "gone_from_remote"),
    list(itertools.product(([], [b"one"], [b"relpath"]), repeat=2)),
)
def test_the_answer_is_what_a_restore_then_finds(
    run_id: str,
    project: Project,
    tmp_path: Path,
    gone_from_cache: list[bytes],
    gone_from_remote: list[bytes],
) -> None:
    remove(project.path / ".dvc/cache", *gone_from_cache)
    remove(tmp_path / "remote", *gone_from_remote)
    code, (found,) = checked(run_id)
    folder = found["entries"][1]
    assert folder["cache"] == (not gone_from_cache)
    missing: dict[str, str] = {}
    try:
        restore(run_id, out=tmp_path / "out")
    except MissingObjectsError as err:
        missing = err.reasons
    assert (code, found["restorable"]) == ((1, False) if missing else (0, True))
    assert folder["missing"] == list(missing)
    assert all(path in found["reason"] for path in missing)


def test_a_listing_in_the_remote_does_not_stand_for_its_files(
    run_id: str, project: Project, tmp_path: Path
) -> None:
    project.lose()
    remove(tmp_path / "remote", b"two")
    code, (found,) = checked(run_id)
    assert (code, found["restorable"]) == (1, False)
    assert found["entries"][1]["missing"] == ["data/images/2.txt"]
    assert (found["entries"][1]["remote"], found["entries"][0]["remote"]) == (False, True)
    assert found["reason"] == "neither in the cache nor in the remote: data/images/2.txt"


def test_a_damaged_cache_object_is_not_in_the_cache(
    run_id: str, project: Project, tmp_path: Path
) -> None:
    remove(tmp_path / "remote", b"one")
    for path in (project.path / ".dvc/cache").rglob("*"):
        if path.is_file() and path.read_bytes() == b"one":
            path.chmod(0o644)
            path.write_bytes(b"eno")
            path.chmod(0o444)
    code, (found,) = checked(run_id)
    assert (code, found["restorable"]) == (1, False)
    assert found["entries"][1]["missing"] == ["data/images/1.txt"]


@pytest.mark.parametrize("lose", ["cache", "nothing"])
def test_an_absent_remote_is_unknown_and_not_empty(
    run_id: str, project: Project, tmp_path: Path, lose: str
) -> None:
    shutil.rmtree(tmp_path / "remote")
    if lose == "cache":
        project.lose()
    code, (found,) = checked(run_id)
    assert [entry["remote"] for entry in found["entries"]] == [False, False]
    assert [entry["missing"] for entry in found["entries"]] == [[], []]
    if lose == "cache":
        assert (code, found["restorable"]) == (1, None)
        assert "nothing was pushed to the remote yet" in found["reason"]
        assert "1 run may or may not be restorable." in mlflow_dvc("check", run_id).stdout
    else:
        assert (code, found["restorable"]) == (0, True)
        shown = mlflow_dvc("check", run_id).stdout
        assert "can be restored (only from this cache: nothing was pushed yet)" in shown


def test_without_a_remote_a_lost_cache_is_lost(run_id: str, project: Project) -> None:
    project.dvc("remote", "remove", "store")
    assert checked(run_id)[1][0]["restorable"] is True
    project.lose()
    code, (found,) = checked(run_id)
    assert (code, found["restorable"]) == (1, False)
    assert [entry["missing"] for entry in found["entries"]] == [["data/a.csv"], ["data/images"]]


def test_a_run_without_a_state_cannot_be_restored(run_id: str, history: History) -> None:
    assert run_id
    plain = str(history.client.create_run("0").info.run_id)
    code, (found,) = checked(plain)
    assert (code, found["restorable"], found["entries"]) == (1, False, [])
    assert "no DVC tags" in found["reason"]


def test_what_was_modified_and_not_saved_cannot_be_restored(
    run_id: str, project: Project, history: History, tmp_path: Path
) -> None:
    project.write("data/a.csv", "edited")
    edited = history.run()
    code, (found, clean) = checked(edited, run_id)
    assert (code, found["restorable"], clean["restorable"]) == (1, False, True)
    reason = "its data was modified when it started, and was not saved: data/a.csv"
    assert (found["reason"], found["modified"]) == (reason, ["data/a.csv"])
    assert found["entries"] == clean["entries"]
    shown = mlflow_dvc("check", edited, run_id).stdout
    assert f"cannot be restored: {reason}\n" in shown
    assert shown.endswith("1 run can be restored.\n1 run cannot be restored.\n")
    project.lose()
    remove(tmp_path / "remote", b"two")
    (found,) = checked(edited)[1]
    assert found["reason"] == f"{reason}; neither in the cache nor in the remote: data/images/2.txt"


def test_what_was_not_verified_is_restorable_and_said_to_be_unverified(
    run_id: str, project: Project, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_id
    (project.path / "data/a.csv").unlink()
    lacking = history.run()
    monkeypatch.setenv("MLFLOW_DVC_STATUS_BUDGET_MS", "0")
    unseen = history.run()
    assert [run["restorable"] for run in checked(lacking, unseen)[1]] == [True, True]
    first, second, _ = mlflow_dvc("check", lacking, unseen).stdout.splitlines()
    assert first.endswith("can be restored (some of its data was not in the workspace when it "
                          "started)")  # fmt: skip
    assert second.endswith("can be restored (its data was not verified when it started)")


def test_what_a_restore_would_not_write_is_not_restorable(
    project: Project, history: History, tmp_path: Path
) -> None:
    nothing = history.run()
    outside = tmp_path / "outside.csv"
    outside.write_text("1")
    project.write("dvc.yaml", f"stages:\n  s:\n    cmd: x\n    outs: [{outside}]\n")
    project.write(
        "dvc.lock",
        "schema: '2.0'\nstages:\n  s:\n    cmd: x\n    outs:\n    - hash: md5\n"
        f"      path: {outside}\n      md5: c4ca4238a0b923820dcc509a6f75849b\n      size: 1\n",
    )
    project.add("copy.csv", "1")
    (project.path / "copy.csv.dvc").unlink()
    external = history.run()
    code, (first, second) = checked(external, nothing)
    assert (code, first["restorable"], second["restorable"]) == (1, False, False)
    assert first["reason"].startswith("outside the project, where a restore does not write: /")
    assert second["reason"] == "it recorded no data"
    assert "The run recorded no data." in mlflow_dvc("show", nothing).stdout
    for run_id in (external, nothing):
        assert mlflow_dvc("restore", run_id).code == 1


def test_an_experiment_without_runs_passes_no_gate(project: Project, history: History) -> None:
    history.client.create_experiment("empty")
    assert "empty has no runs" in mlflow_dvc("check", "--experiment", "empty").error
    assert "empty has no runs" in mlflow_dvc("check", "--experiment", "empty", "--json").error
    assert project


def test_an_experiment_is_checked_to_its_last_page(
    project: Project, history: History, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(store, "PAGE", 2)
    made = []
    for version in ("1", "2", "3"):
        project.add("a", version)
        project.push()
        made += [history.run(), history.run()]
    project.lose()
    remove(tmp_path / "remote", b"2")
    code, found = checked("--experiment", "Default")
    assert code == 1
    assert [(run["run_id"], run["restorable"]) for run in found] == [
        (run_id, number not in (2, 3)) for number, run_id in reversed(list(enumerate(made)))
    ]
    shown = mlflow_dvc("check", "--experiment", "Default").stdout
    assert "4 runs can be restored." in shown
    assert "2 runs cannot be restored." in shown


class CountingHandler(SimpleHTTPRequestHandler):
    """Serves a remote over HTTP, and keeps count."""

    asked: ClassVar[Counter[str]]
    broken = False

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        if self.broken:
            self.send_error(500)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def over_http(project: Project, tmp_path: Path) -> Iterator[type[CountingHandler]]:
    """The remote, served over HTTP instead of from its folder."""

    class Handler(CountingHandler):
        asked: ClassVar[Counter[str]] = Counter()

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "remote"))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with project.opened() as repo, repo.config.edit() as config:
        config["remote"]["web"] = {"url": f"http://127.0.0.1:{server.server_port}"}
        config["core"]["remote"] = "web"
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_object_is_asked_for_once_however_many_runs_share_it(
    run_id: str,
    project: Project,
    history: History,
    over_http: type[CountingHandler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed = []

    def counting(run: Run, project: str | None) -> DataState:
        parsed.append(run)
        return load_state(run, project=project)

    monkeypatch.setattr(recorded_states, "load_state", counting)
    for _ in range(5):
        history.run()
    project.lose()
    code, found = checked("--experiment", "Default")
    assert run_id
    assert (code, len(found), {run["restorable"] for run in found}) == (0, 6, {True})
    assert len(parsed) == 1
    assert len(over_http.asked) == 4
    assert set(over_http.asked.values()) == {1}


def test_a_server_in_trouble_is_unknown_and_not_empty(
    run_id: str, project: Project, over_http: type[CountingHandler]
) -> None:
    over_http.broken = True
    shown = mlflow_dvc("check", run_id).stdout
    assert "can be restored (from this cache: the remote does not tell what it has)" in shown
    project.lose()
    code, (found,) = checked(run_id)
    assert (code, found["restorable"]) == (1, None)
    assert [entry["remote"] for entry in found["entries"]] == [None, None]


def test_either_runs_or_an_experiment(history: History) -> None:
    assert history
    assert mlflow_dvc("check").code == 2
    assert mlflow_dvc("check", "a", "--experiment", "Default").code == 2
