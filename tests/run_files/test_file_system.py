"""The files of a run's data, read where they are stored, as an fsspec file system."""

from __future__ import annotations

import functools
import hashlib
import http.server
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from dvc.api import DVCFileSystem

import mlflow_dvc_plugin as mlflow_dvc
from mlflow_dvc_plugin.errors import (
    MlflowDvcError,
    NoFileError,
    NoObjectError,
    NoOriginError,
    ReadOnlyError,
    UnsafePathError,
)
from mlflow_dvc_plugin.restoring.run_data.state import load_state
from mlflow_dvc_plugin.state import DataState, Entry
from mlflow_dvc_plugin.tracking import Run
from tests.history import History
from tests.project import Project
from tests.run_files.conftest import FILES, Stored


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def damage(stored: Stored, content: bytes) -> None:
    """Change the bytes of an object in the remote, but not their number."""
    value = md5(content)
    path = stored.remote / "files/md5" / value[:2] / value[2:]
    path.chmod(0o644)
    path.write_bytes(content[::-1].upper())


def test_it_lists_what_dvc_itself_lists(clone: Project, history: History) -> None:
    run_id = history.run()
    theirs = DVCFileSystem(str(clone.path), rev="HEAD")
    ours = mlflow_dvc.filesystem(run_id)
    names = [name.lstrip("/") for name in theirs.find("/", dvc_only=True)]
    assert ours.find("") == sorted(FILES) == sorted(name for name in names if name in FILES)
    for folder in ("data", "data/images", "data/images/sub"):
        listed = theirs.ls(folder, detail=True, dvc_only=True)
        expected = {(info["name"], info["type"]) for info in listed}
        assert {(info["name"], info["type"]) for info in ours.ls(folder)} == expected
    for pattern in ("data/*", "data/**", "data/images/?.txt", "data/**/gr*"):
        assert ours.glob(pattern) == theirs.glob(pattern, dvc_only=True)
    walked = {root: (sorted(dirs), sorted(names)) for root, dirs, names in ours.walk("data")}
    expected_walk = {
        root: (sorted(dirs), sorted(names))
        for root, dirs, names in theirs.walk("data", dvc_only=True)
    }
    assert walked == expected_walk


def test_info_has_size_and_hash(stored: Stored) -> None:
    files = mlflow_dvc.filesystem(stored.run_id)
    for name, content in FILES.items():
        info = files.info(name)
        assert (info["size"], info["hash"], info["type"]) == (len(content), md5(content), "file")
        assert files.size(name) == len(content)
    folder = files.info("data/images")
    assert (folder["hash"], folder["type"]) == (stored.hashes["data/images"], "directory")
    assert files.info("data")["hash"] is None
    assert files.checksum("data/raw.csv") == stored.hashes["data/raw.csv"]
    assert files.du("") == sum(map(len, FILES.values()))


@pytest.mark.versions
def test_whatever_is_read_is_what_was_tracked(stored: Stored) -> None:
    files = mlflow_dvc.filesystem(stored.run_id)
    assert files.cat("", recursive=True) == FILES
    for name, content in FILES.items():
        assert files.cat(name) == content
        assert files.cat_file(name, 1, 3) == content[1:3]
        assert files.cat_file(name, -2) == content[-2:]
        assert files.tail(name, 2) == content[-2:]
        with files.open(name) as file:
            file.seek(2)
            assert file.read() == content[2:]
        with mlflow_dvc.open(stored.run_id, name) as file:
            assert file.read() == content
    with mlflow_dvc.open(stored.run_id, "data/raw.csv", "r", encoding="utf-8") as file:
        assert file.readlines() == ["a,b\n", "1,2\n", "3,4\n"]
    files.get("", "out", recursive=True)
    assert {str(p.relative_to("out")) for p in Path("out").rglob("*") if p.is_file()} == {*FILES}
    for name, content in FILES.items():
        assert Path("out", name).read_bytes() == content


@pytest.mark.parametrize(
    ("source", "target", "options"),
    [
        ("data/raw.csv", "new.csv", {}),
        ("data/raw.csv", "there", {}),
        ("data/raw.csv", "there/", {}),
        ("data/images", "new", {"recursive": True}),
        ("data/images", "there", {"recursive": True}),
        ("data/images/", "there", {"recursive": True}),
        ("data/images", "new", {"recursive": True, "maxdepth": 1}),
        ("data/images", "new", {}),
        ("data/images/*", "there", {}),
        ("data/images/1*", "there", {}),
        ("data/images/1*", "new", {}),
        ("data/**", "there", {}),
        (["data/raw.csv", "model.bin"], "there", {}),
        (["data/raw.csv", "model.bin"], ["x/one", "y/two"], {}),
    ],
)
def test_get_puts_files_where_fsspec_does(
    stored: Stored, source: Any, target: Any, options: dict[str, Any]
) -> None:
    for name, content in FILES.items():
        path = Path("copy", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.put("copy/", "/", recursive=True)
    placed = []
    for files, folder in ((memory, "theirs"), (mlflow_dvc.filesystem(stored.run_id), "ours")):
        Path(folder, "there").mkdir(parents=True)
        ends = "/" if str(target).endswith("/") else ""
        places = (
            [f"{folder}/{each}" for each in target]
            if isinstance(target, list)
            else f"{folder}/{target.rstrip('/')}{ends}"
        )
        files.get(source, places, **options)
        placed.append(
            {
                str(path.relative_to(folder)): path.read_bytes()
                for path in Path(folder).rglob("*")
                if path.is_file()
            }
        )
    assert placed[1] == placed[0]
    memory.store.clear()


def test_an_address_is_enough(stored: Stored, history: History) -> None:
    with fsspec.open(f"mlflow-dvc://{stored.run_id}/data/raw.csv", "r") as file:
        assert file.read() == FILES["data/raw.csv"].decode()
    with fsspec.open(f"mlflow-dvc://{stored.run_id[:8]}/model.bin") as file:
        assert file.read() == FILES["model.bin"]
    history.client.create_registered_model("churn")
    history.client.create_model_version("churn", "file:///nowhere", run_id=stored.run_id)
    history.client.set_registered_model_alias("churn", "champion", "1")
    for model in ("models:/churn/1", "models:/churn@champion", f"runs:/{stored.run_id}"):
        with fsspec.open(f"mlflow-dvc://{model}/data/images/1.txt") as file:
            assert file.read() == b"one"
    files, path = fsspec.url_to_fs(f"mlflow-dvc://{stored.run_id}/data/images")
    assert files.unstrip_protocol(path) == f"mlflow-dvc://{stored.run_id}/data/images"
    assert files.ls(f"mlflow-dvc://{stored.run_id}/data", detail=False) == [
        "data/images",
        "data/raw.csv",
    ]


@pytest.mark.parametrize("uri", ["mlflow-dvc://", "mlflow-dvc:///x", "mlflow-dvc://models:/x"])
def test_a_bad_address_is_one_sentence(uri: str) -> None:
    with pytest.raises(MlflowDvcError) as err:
        fsspec.open(uri).open()
    assert "\n" not in str(err.value)


def test_what_is_not_there_is_named(stored: Stored) -> None:
    files = mlflow_dvc.filesystem(stored.run_id)
    for path in ("nothing", "data/nothing", "data/images/nothing", "data/raw.csv/x", "../x"):
        assert not files.exists(path)
        with pytest.raises(NoFileError, match="The run has no data at"):
            files.cat(path)
        with pytest.raises(FileNotFoundError):
            files.info(path)
    assert not files.exists("metrics.json")
    with pytest.raises(IsADirectoryError):
        files.cat("data/images")


def test_what_is_read_whole_is_verified_and_a_part_is_not(stored: Stored) -> None:
    damage(stored, FILES["data/raw.csv"])
    files = mlflow_dvc.filesystem(stored.run_id)
    for read in (
        lambda: files.cat("data/raw.csv"),
        lambda: files.cat(["data/raw.csv", "model.bin"]),
        lambda: files.get("data/raw.csv", "out"),
        lambda: files.get_file("data/raw.csv", "out"),
        lambda: files.get("data", "out", recursive=True),
    ):
        with pytest.raises(NoObjectError, match="other bytes under this hash"):
            read()
    assert not Path("out/raw.csv").exists()
    assert not Path("out").is_file()
    assert files.cat_file("data/raw.csv", 0, 2) != FILES["data/raw.csv"][:2]


def test_a_damaged_listing_is_not_believed(stored: Stored) -> None:
    value = stored.hashes["data/images"]
    path = stored.remote / "files/md5" / value[:2] / value[2:]
    path.chmod(0o644)
    path.write_text(f'[{{"md5": "{md5(b"one")}", "relpath": "new"}}]')
    files = mlflow_dvc.filesystem(stored.run_id)
    with pytest.raises(NoObjectError, match="other bytes under this hash"):
        files.ls("data/images")
    assert files.cat("data/raw.csv") == FILES["data/raw.csv"]


def test_a_lost_object_is_named(stored: Stored) -> None:
    shutil.rmtree(stored.remote / "files/md5" / md5(b"one")[:2])
    files = mlflow_dvc.filesystem(stored.run_id)
    with pytest.raises(NoObjectError, match=r"data/images/1\.txt \(not in the remote\)"):
        files.cat("data/images/1.txt")
    with pytest.raises(NoObjectError, match=r"data/images/1\.txt .*data/images/2\.txt"):
        files.get("data/images", "out", recursive=True)
    assert files.info("data/images/1.txt")["size"] is None
    with pytest.raises(FileNotFoundError):
        files.open("data/images/1.txt")


def test_the_cache_is_read_first_and_the_remote_next(
    clone: Project, history: History, tmp_path: Path
) -> None:
    run_id = history.run()
    shutil.rmtree(tmp_path / "remote")
    # What the workspace holds is of no interest.
    clone.write("data/raw.csv", "changed")
    files = mlflow_dvc.filesystem(run_id, project=str(clone.path))
    assert files.cat("", recursive=True) == FILES
    value = md5(FILES["data/raw.csv"])
    cached = clone.path / ".dvc/cache/files/md5" / value[:2] / value[2:]
    cached.chmod(0o644)
    cached.write_text("damaged")
    with pytest.raises(NoObjectError):
        files.cat("data/raw.csv")
    stored = tmp_path / "remote/files/md5" / value[:2] / value[2:]
    stored.parent.mkdir(parents=True)
    stored.write_bytes(FILES["data/raw.csv"])
    assert files.cat("data/raw.csv") == FILES["data/raw.csv"]
    files.get("data/raw.csv", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_bytes() == FILES["data/raw.csv"]
    assert cached.read_text() == "damaged"


def test_nothing_can_be_written(stored: Stored) -> None:
    files = mlflow_dvc.filesystem(stored.run_id)
    Path("local").write_text("x")
    attempts: list[Callable[[], Any]] = [
        lambda: files.open("new", "wb"),
        lambda: files.open("data/raw.csv", "ab"),
        lambda: files.open("data/raw.csv", "r+b"),
        lambda: files.open("new", "w"),
        lambda: files.mkdir("new"),
        lambda: files.makedirs("new"),
        lambda: files.rm("data/raw.csv"),
        lambda: files.rm_file("data/raw.csv"),
        lambda: files.delete("data", recursive=True),
        lambda: files.rmdir("data"),
        lambda: files.mv("data/raw.csv", "new"),
        lambda: files.move("data/raw.csv", "new"),
        lambda: files.rename("data/raw.csv", "new"),
        lambda: files.copy("data/raw.csv", "new"),
        lambda: files.cp("data/raw.csv", "new"),
        lambda: files.put("local", "new"),
        lambda: files.upload("local", "new"),
        lambda: files.put_file("local", "new"),
        lambda: files.pipe("new", b"x"),
        lambda: files.pipe_file("new", b"x"),
        lambda: files.write_text("new", "x"),
        lambda: files.write_bytes("new", b"x"),
        lambda: files.touch("data/raw.csv"),
    ]
    before = sorted(stored.remote.rglob("*"))
    for attempt in attempts:
        with pytest.raises(ReadOnlyError, match=r"can only be read\.") as err:
            attempt()
        assert "\n" not in str(err.value)
    assert sorted(stored.remote.rglob("*")) == before


def test_it_needs_to_know_where_the_data_is(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_DVC_URL")
    with pytest.raises(NoOriginError):
        mlflow_dvc.filesystem(stored.run_id)
    files = mlflow_dvc.filesystem(stored.run_id, str(stored.remote))
    assert files.cat("model.bin") == FILES["model.bin"]
    Path("config").write_text(
        f"[core]\nremote = store\n['remote \"store\"']\nurl = {stored.remote}\n"
    )
    files = mlflow_dvc.filesystem(stored.run_id, config="config")
    assert files.cat("model.bin") == FILES["model.bin"]


def read_all(files: Any) -> tuple[int, dict[str, bytes]]:
    return os.getpid(), files.cat("", recursive=True)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_through_a_pickle_or_a_fork(
    stored: Stored, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = mlflow_dvc.filesystem(stored.run_id)
    assert files.cat("model.bin") == FILES["model.bin"]
    scratch = Path("scratch").absolute()
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", None)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        results = pool.map(read_all, [files] * 6, chunksize=1)
    assert all(content == FILES for _, content in results)
    assert os.getpid() not in {pid for pid, _ in results}
    # The workers were killed in the end, as those of a pool are.
    assert not [path for path in scratch.iterdir() if "mlflow-dvc-templates" not in path.name]
    # The children left the parent's own files alone.
    assert files.cat("data/raw.csv") == FILES["data/raw.csv"]


def test_a_pickle_is_small_and_has_no_secret(stored: Stored) -> None:
    files = mlflow_dvc.filesystem(stored.run_id)
    files.cat("", recursive=True)
    pickled = pickle.dumps(files)
    assert len(pickled) < 1000
    copy = pickle.loads(pickled)
    assert copy.run_id == stored.run_id
    assert copy.cat("", recursive=True) == FILES
    (file,) = [pickle.loads(pickle.dumps(fsspec.open(f"mlflow-dvc://{stored.run_id}/model.bin")))]
    with file as opened:
        assert opened.read() == FILES["model.bin"]


@pytest.mark.slow
def test_no_process_leaves_a_folder_behind(stored: Stored, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = (
        "import os, sys, mlflow_dvc_plugin as d\n"
        "files = d.filesystem(sys.argv[1])\n"
        "print(files.cat('data/images/1.txt'))\n"
        "if os.fork() == 0:\n"
        "    assert files.cat('data/images/1.txt') == b'one'\n"
        "    sys.exit()\n"
        "assert os.wait()[1] == 0\n"
        "print(files.cat('data/images/sub', recursive=True))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, stored.run_id],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "two" in done.stdout
    assert os.listdir(scratch) == []
    assert os.listdir() == []


@pytest.mark.parametrize("path", ["../outside", "/etc/x", "a/../../x", ".git/config", "a\nb"])
@pytest.mark.usefixtures("stored")
def test_a_hostile_path_is_refused(path: str) -> None:
    state = DataState(root=".", entries=(Entry(path, "md5", "1" * 32),))
    run = Run("e" * 32, "evil", "0", 0, state.to_tags())
    if path.startswith("/"):
        assert mlflow_dvc.filesystem(run).find("") == []
        return
    with pytest.raises(UnsafePathError):
        mlflow_dvc.filesystem(run)


@pytest.mark.parametrize(
    "listing",
    [
        '[{"md5": "%s", "relpath": "../../x"}]',
        '[{"md5": "%s", "relpath": "/etc/x"}]',
        '[{"md5": "../../../etc/passwd", "relpath": "x"}]',
        '{"md5": 1}',
        "nonsense",
    ],
)
def test_a_hostile_listing_is_refused(stored: Stored, listing: str) -> None:
    content = (listing.replace("%s", md5(b"one"))).encode()
    value = md5(content) + ".dir"
    path = stored.remote / "files/md5" / value[:2] / value[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    state = DataState(root=".", entries=(Entry("evil", "md5", value, isdir=True),))
    files = mlflow_dvc.filesystem(Run("e" * 32, "evil", "0", 0, state.to_tags()))
    for attempt in (lambda: files.ls("evil"), lambda: files.get("", "out", recursive=True)):
        with pytest.raises(MlflowDvcError) as err:
            attempt()
        assert "\n" not in str(err.value)
    assert not [each for each in Path().rglob("*") if each.is_file()]


@pytest.mark.usefixtures("stored")
def test_a_path_that_is_a_file_and_a_folder_ends_in_an_error() -> None:
    value = md5(b"one")
    entries = (Entry("a", "md5", value), Entry("a/b", "md5", value))
    files = mlflow_dvc.filesystem(Run("e" * 32, "", "0", 0, DataState(".", entries).to_tags()))
    with pytest.raises((MlflowDvcError, OSError)):
        files.get(["a", "a/b"], ["out/a", "out/a/b"])


@pytest.mark.usefixtures("stored")
def test_no_address_in_a_tag_is_contacted() -> None:
    class Spy(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            contacts.append(self.client_address)

    contacts: list[object] = []
    spy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Spy)
    threading.Thread(target=spy.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{spy.server_address[1]}/x"
    entry = Entry("a", "md5", "1" * 32, kind="import-url", remote=address, metafile="a.dvc")
    metafile = f"deps:\n- path: {address}\nouts:\n- md5: {'1' * 32}\n  path: a\n"
    state = DataState(".", (entry,), metafiles={"a.dvc": metafile.encode()})
    run = Run("e" * 32, "", "0", 0, {**state.to_tags(), "dvc.remote": address})
    files = mlflow_dvc.filesystem(run)
    for attempt in (lambda: files.cat("a"), lambda: files.open("a"), lambda: files.info("a")):
        with pytest.raises(MlflowDvcError, match="not configured here"):
            attempt()
    spy.shutdown()
    assert contacts == []


def test_a_remote_behind_http_is_read_in_ranges(stored: Stored) -> None:
    ranges: list[str | None] = []

    class Ranges(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            content = Path(self.translate_path(self.path)).read_bytes()
            wanted = self.headers.get("Range")
            ranges.append(wanted)
            if wanted:
                first, last = wanted.removeprefix("bytes=").split("-")
                part = content[int(first) : int(last) + 1]
                self.send_response(206)
                where = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
                self.send_header("Content-Range", where)
            else:
                part = content
                self.send_response(200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Ranges, directory=str(stored.remote))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    files = mlflow_dvc.filesystem(stored.run_id, f"http://127.0.0.1:{httpd.server_address[1]}")
    assert files.cat("data/images", recursive=True)["data/images/1.txt"] == b"one"
    ranges.clear()
    with files.open("model.bin", block_size=64) as file:
        file.seek(5000)
        assert file.read(10) == FILES["model.bin"][5000:5010]
    assert ranges
    assert all(ranges)
    httpd.shutdown()


def test_the_states_of_a_run_and_of_its_files_are_the_same(stored: Stored) -> None:
    state = load_state(stored.run_id)
    files = mlflow_dvc.filesystem(stored.run_id)
    for entry in state.entries:
        assert files.info(entry.path)["hash"] == entry.hash
