"""The data of a run where its project is not: from a remote that the user names."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_dvc_plugin.errors import MlflowDvcError, NoOriginError
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.tracking import Run
from tests.effort import bounded
from tests.history import History, mlflow_dvc
from tests.project import Project
from tests.record import record, snapshot


@pytest.fixture
def remote(project: Project, tmp_path: Path) -> Path:
    """A project's remote that has all data; the project itself is gone."""
    project.remote(tmp_path / "remote")
    project.add("data/raw.csv", "a,b\n1,2\n")
    project.write("data/images/1.txt", "one")
    project.write("data/images/sub/größe", "two")
    project.add("data/images")
    project.push()
    project.commit()
    return tmp_path / "remote"


@pytest.fixture
def run(
    remote: Path, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """A run in a store; the working directory is empty and the project is deleted."""
    recorded = record(history.project)
    run_id = history.run(tags=dict(recorded.tags))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    shutil.rmtree(history.project)
    yield Run(run_id, "run", "0", 0, recorded.tags)
    # Whatever happened, no process left anything behind.
    assert not list(here.rglob(".mlflow-dvc"))
    assert remote.exists() is False or not list(remote.rglob("*mlflow*"))


EXPECTED = {
    "data/raw.csv": b"a,b\n1,2\n",
    "data/images/1.txt": b"one",
    "data/images/sub/größe": b"two",
}


def files(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, hidden ones included."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_address_of_a_remote_is_enough(run: Run, remote: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    done = mlflow_dvc("restore", run.run_id, "--out", "out", "--url", str(remote))
    assert done.code == 0, done.stderr
    assert "3 files verified by hash" in done.stdout
    assert files(Path("out")) == EXPECTED
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert os.listdir() == ["out"]


def test_the_address_may_be_relative_or_in_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert restore(run, out="a", url="../remote").verified == 3
    monkeypatch.setenv("MLFLOW_DVC_URL", "../remote")
    assert restore(run, out="b").verified == 3
    assert restore(run, out="c", url=Path("../remote").resolve().as_uri()).verified == 3
    assert files(Path("a")) == files(Path("b")) == files(Path("c")) == EXPECTED


def test_a_configuration_file_is_read_as_dvc_reads_it(run: Run, remote: Path) -> None:
    config = Path("settings/dvc.config")
    config.parent.mkdir()
    config.write_text("[core]\nremote = Store\n['remote \"store\"']\nurl = ../../remote\n")
    assert restore(run, out="out", config=str(config)).verified == 3
    assert files(Path("out")) == EXPECTED
    remote.rename(remote.with_name("elsewhere"))
    config.write_text("['remote \"other\"']\nurl = ../../elsewhere\n")
    with pytest.raises(MlflowDvcError, match="no default remote is configured"):
        restore(run, out="again", config=str(config))
    assert restore(run, out="again", config=str(config), remote="other").verified == 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "There is no DVC configuration file"),
        ("[core", "cannot be read as DVC's configuration"),
        ("[core]\nremote = x\n['remote \"x\"']\nurl = nonsense://x\n", "nonsense"),
        ("[core]\nremote = x\n", "its remote|remote 'x'"),
    ],
)
def test_a_bad_configuration_file_is_one_sentence(
    run: Run, content: str | None, expected: str
) -> None:
    if content:
        Path("config").write_text(content)
    with pytest.raises(MlflowDvcError, match=expected) as err:
        restore(run, out="out", config="config")
    assert "\n" not in str(err.value)
    assert not Path("out").exists()


def test_without_any_of_them_the_error_says_which_there_are(run: Run) -> None:
    done = mlflow_dvc("restore", run.run_id, "--out", "out")
    for way in ("--url", "MLFLOW_DVC_URL", "--config"):
        assert way in done.error
    with pytest.raises(NoOriginError):
        restore(run, out="out")
    assert "--out" in mlflow_dvc("restore", run.run_id).error
    for option in ("--url", "--config", "--cache"):
        done = mlflow_dvc("restore", run.run_id, option, "x")
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.startswith("Usage: mlflow-dvc restore ")
        assert "need --out" in done.stderr
    done = mlflow_dvc("restore", run.run_id, "--out", "x", "--worktree", "y")
    assert (done.code, done.stdout) == (2, "")
    assert "--worktree cannot be combined with --out" in done.stderr
    both = mlflow_dvc("restore", run.run_id, "--out", "x", "--url", "x", "--config", "y")
    assert both.code == 2
    assert "--url and --config cannot be combined." in both.stderr


def test_a_remote_that_is_not_there_is_named(run: Run) -> None:
    error = mlflow_dvc("restore", run.run_id, "--out", "out", "--url", "nowhere").error
    assert str(Path("nowhere").absolute()) in error
    assert not Path("out").exists()


def test_nothing_is_fetched_twice(run: Run, remote: Path) -> None:
    restore(run, out="out", url=str(remote))
    Path("out/data/raw.csv").unlink()
    value = hashlib.md5(EXPECTED["data/images/1.txt"]).hexdigest()
    # Only what is missing is needed: a file's object, and the folder's listing.
    (remote / "files/md5" / value[:2] / value[2:]).unlink()
    result = restore(run, out="out", url=str(remote))
    assert (result.added, result.unchanged) == (["data/raw.csv"], ["data/images"])
    assert files(Path("out")) == EXPECTED


def test_a_cache_that_the_user_names_stays(run: Run, remote: Path) -> None:
    restore(run, out="first", url=str(remote), cache="kept")
    assert len(files(Path("kept/files/md5"))) == 4
    shutil.rmtree(remote)
    remote.mkdir()
    restore(run, out="second", url=str(remote), cache="kept")
    assert files(Path("second")) == EXPECTED
    assert sorted(os.listdir()) == ["first", "kept", "second"]


def test_paths_are_those_of_the_run(run: Run, remote: Path) -> None:
    done = mlflow_dvc(
        *("restore", run.run_id, "data/raw.csv", "--out", "out"), *("--url", str(remote), "--json")
    )
    assert done.json["added"] == ["data/raw.csv"]
    assert files(Path("out")) == {"data/raw.csv": EXPECTED["data/raw.csv"]}


def test_a_dry_run_writes_nothing(run: Run, remote: Path) -> None:
    result = restore(run, out="out", url=str(remote), dry_run=True)
    assert result.added == ["data/images", "data/raw.csv"]
    assert os.listdir() == []
    shutil.rmtree(remote / "files")
    with pytest.raises(MlflowDvcError):
        restore(run, out="out", url=str(remote), dry_run=True)


def test_other_content_is_in_the_way_and_force_replaces_it(run: Run, remote: Path) -> None:
    Path("out/data").mkdir(parents=True)
    Path("out/data/raw.csv").write_text("mine")
    with pytest.raises(MlflowDvcError, match=r"other content in data/raw\.csv"):
        restore(run, out="out", url=str(remote))
    assert files(Path("out")) == {"data/raw.csv": b"mine"}
    restore(run, out="out", url=str(remote), force=True, cache="kept")
    assert files(Path("out")) == EXPECTED
    mine = hashlib.md5(b"mine").hexdigest()
    assert Path("kept/files/md5", mine[:2], mine[2:]).read_text() == "mine"


def test_a_clone_is_used_as_it_is_unless_the_user_names_a_remote(
    remote: Path, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorded = record(project.path)
    monkeypatch.setenv("MLFLOW_DVC_URL", str(tmp_path / "nowhere"))
    assert restore(recorded, out=tmp_path / "a").verified == 3
    with pytest.raises(MlflowDvcError, match="--cache needs"):
        restore(recorded, out=tmp_path / "a", cache="x")
    project.lose()
    before = snapshot(project.path)
    restore(recorded, out=tmp_path / "b", url=str(remote))
    assert files(tmp_path / "a") == files(tmp_path / "b") == EXPECTED
    assert snapshot(project.path) == before
    assert not (project.path / ".dvc/cache").exists()


def test_a_folder_in_a_git_repository_is_no_matter(run: Run, remote: Path, tmp_path: Path) -> None:
    other = Project.create(tmp_path / "other")
    other.commit()
    restore(run, out=other.path.parent / "other" / "fetched", url=str(remote))
    assert files(other.path / "fetched") == EXPECTED
    assert other.git("status", "--porcelain").split() == ["??", "fetched/"]


def test_an_own_remote_is_taken_only_if_the_configuration_names_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.remote(tmp_path / "remote")
    project.dvc("remote", "add", "-q", "own", str(tmp_path / "own"))
    project.add("a.csv", "1")
    metafile = project.path / "a.csv.dvc"
    metafile.write_text(metafile.read_text() + "  remote: own\n")
    project.push()
    recorded = record(project.path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MlflowDvcError, match=r"a\.csv .its remote 'own' is not configured"):
        restore(recorded, out="out", url=str(tmp_path / "remote"))
    assert not Path("out").exists()
    restore(recorded, out="out", config=str(project.path / ".dvc/config"))
    assert files(Path("out")) == {"a.csv": b"1"}


def test_an_import_is_named_or_comes_from_the_remote(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.txt"
    source.write_text("imported")
    project.remote(tmp_path / "remote")
    project.dvc("import-url", "-q", str(source), "in.txt")
    recorded = record(project.path)
    monkeypatch.chdir(tmp_path)
    for dry_run in (True, False):
        with pytest.raises(MlflowDvcError, match=r"in\.txt") as err:
            restore(recorded, out="out", url=str(tmp_path / "remote"), dry_run=dry_run)
    assert "only a clone of the project says where from" in str(err.value)
    assert not Path("out").exists()
    value = hashlib.md5(b"imported").hexdigest()
    stored = tmp_path / "remote/files/md5" / value[:2] / value[2:]
    stored.parent.mkdir(parents=True)
    stored.write_text("imported")
    restore(recorded, out="out", url=str(tmp_path / "remote"))
    assert files(Path("out")) == {"in.txt": b"imported"}


@pytest.mark.parametrize("kind", ["plain", "import", "import-url", "cloud-versioned"])
def test_no_address_in_a_tag_is_contacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    class Spy(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            contacts.append(self.client_address)

    contacts: list[object] = []
    spy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Spy)
    threading.Thread(target=spy.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{spy.server_address[1]}/x"
    metafile = f"deps:\n- path: {address}\nouts:\n- md5: {'1' * 32}\n  hash: md5\n  path: a\n"
    metafile += f"  remote: {address}\n"
    entry = Entry("a", "md5", "1" * 32, metafile="a.dvc", kind=kind, remote=address)  # type: ignore[arg-type]
    state = DataState(root=".", entries=(entry,), metafiles={"a.dvc": metafile.encode()})
    tags = {**state.to_tags(), "dvc.remote": address}
    (tmp_path / "remote").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MlflowDvcError):
        restore(Run("e" * 32, "evil", "0", 0, tags), out="out", url="remote")
    spy.shutdown()
    assert contacts == []
    assert os.listdir(tmp_path) == ["remote"]


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/x", ".git/config", ".dvc/config", ".mlflow-dvc/x", ".mlflow-dvc"]
)
def test_a_path_that_leads_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    value = hashlib.md5(b"1").hexdigest()
    stored = tmp_path / "remote/files/md5" / value[:2] / value[2:]
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    state = DataState(root=".", entries=(Entry(path, "md5", value),))
    with pytest.raises(MlflowDvcError) as err:
        restore(Run("e" * 32, "evil", "0", 0, state.to_tags()), out="in/out", url="remote")
    assert "\n" not in str(err.value)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [value[2:]]


def test_a_link_in_the_folder_is_not_followed(run: Run, remote: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    Path("out").mkdir()
    Path("out/data").symlink_to(tmp_path / "precious")
    with pytest.raises(MlflowDvcError, match="symbolic link"):
        restore(run, out="out", url=str(remote))
    assert os.listdir(tmp_path / "precious") == []


def test_a_damaged_object_is_refused(run: Run, remote: Path) -> None:
    value = hashlib.md5(b"one").hexdigest()
    stored = remote / "files/md5" / value[:2] / value[2:]
    stored.chmod(0o644)
    stored.write_bytes(b"ONE")
    with pytest.raises(MlflowDvcError, match="other bytes under this hash"):
        restore(run, out="out", url=str(remote))
    assert not Path("out").exists()


def test_a_remote_behind_http(run: Run, remote: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(remote))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    restore(run, out="out", url=f"http://127.0.0.1:{httpd.server_address[1]}")
    httpd.shutdown()
    assert files(Path("out")) == EXPECTED


@pytest.mark.slow
def test_killed_at_any_moment_a_second_run_completes_it(
    history: History, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(400):
        project.write(f"data/{number}", str(number) * 1000)
    project.add("data")
    project.push()
    run_id = history.run()
    monkeypatch.chdir(tmp_path)
    expected = {f"data/{number}": str(number).encode() * 1000 for number in range(400)}
    command = [sys.executable, "-m", "mlflow_dvc_plugin.cli", "restore", run_id, "--json"]
    command += ["--out", "out", "--url", str(tmp_path / "remote")]
    begun = 0
    for number in range(bounded(6, 60)):
        shutil.rmtree("out", ignore_errors=True)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not Path("out").exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.04 * number % 0.4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        begun += Path("out").exists()
        for name, content in files(Path("out")).items() if Path("out").exists() else ():
            assert expected.get(name, content) == content
        done = subprocess.run(command, capture_output=True, check=True)
        assert json.loads(done.stdout)["verified"] == 400
        assert files(Path("out")) == expected
    assert begun
