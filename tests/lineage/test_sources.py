"""Imports that cache and remote have lost: does the place they came from still have them?"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.errors import MlflowDvcError
from mlflow_dvc_plugin.restoring import restore
from tests.history import History, mlflow_dvc
from tests.project import Project

pytestmark = pytest.mark.slow


@pytest.fixture
def upstream(tmp_path: Path) -> Project:
    """Another repository: a folder and a file that DVC tracks, and a file of Git's."""
    made = Project.create(tmp_path / "upstream")
    made.remote(tmp_path / "upstream-remote")
    made.write("pool/one", "1")
    made.write("pool/sub/two", "2")
    made.add("pool")
    made.add("a.csv", "a")
    made.write("vocab.txt", "words")
    made.commit()
    made.push()
    return made


@pytest.fixture
def imported(project: Project, history: History, upstream: Project) -> str:
    """A run on three imports from there, and a second version of one of them since."""
    with project.opened() as repo:
        for name in ("pool", "a.csv", "vocab.txt"):
            repo.imp(str(upstream.path), name)
    project.commit()
    run_id = history.run()
    upstream.add("a.csv", "another")
    upstream.commit()
    upstream.push()
    project.dvc("update", "a.csv.dvc")
    return run_id


def checked(run_id: str) -> dict[str, Any]:
    (found,) = mlflow_dvc("check", run_id, "--json").json
    return dict(found)


def remove(folder: Path, content: bytes) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.read_bytes() == content:
            path.unlink()


def restores(run_id: str, out: Path) -> bool:
    try:
        restore(run_id, out=out)
    except MlflowDvcError:
        return False
    return True


def test_what_another_repository_has_can_be_restored(
    imported: str, project: Project, tmp_path: Path
) -> None:
    project.lose()
    found = checked(imported)
    assert (found["restorable"], found["reason"]) == (True, "")
    assert [(e["path"], e["cache"], e["remote"], e["source"]) for e in found["entries"]] == [
        (name, False, False, True) for name in ("a.csv", "pool", "vocab.txt")
    ]
    assert not list((project.path / ".dvc").glob("cache/files/md5/*/*"))
    assert restores(imported, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "missing"), [(b"2", ["pool/sub/two"]), (b"a", ["a.csv"]), (b"[", ["pool"])]
)
def test_what_its_remote_lost_is_lost(
    imported: str, project: Project, tmp_path: Path, content: bytes, missing: list[str]
) -> None:
    remote = tmp_path / "upstream-remote"
    if content == b"[":
        for path in remote.rglob("*.dir"):
            path.unlink()
    else:
        remove(remote, content)
    project.lose()
    found = checked(imported)
    assert found["restorable"] is False
    assert [path for e in found["entries"] for path in e["missing"]] == missing
    assert not restores(imported, tmp_path / "out")


def test_what_cannot_be_asked_is_unknown(imported: str, project: Project, tmp_path: Path) -> None:
    project.lose()
    (tmp_path / "upstream").rename(tmp_path / "moved")
    found = checked(imported)
    assert found["restorable"] is None
    assert "it is not known whether its source has it" in found["reason"]
    (tmp_path / "moved").rename(tmp_path / "upstream")
    (tmp_path / "upstream-remote").rename(tmp_path / "unmounted")
    assert checked(imported)["restorable"] is None


def test_a_version_that_no_metafile_names_is_unknown(
    imported: str, project: Project, history: History
) -> None:
    assert imported
    run_id = history.run()
    project.git("checkout", "-q", "a.csv.dvc")
    project.lose()
    found = checked(run_id)
    assert found["restorable"] is None
    assert "a.csv" in found["reason"]
    assert "does not name this version" in found["reason"]


class Quiet(SimpleHTTPRequestHandler):
    broken = False

    def send_head(self) -> Any:
        if self.broken:
            return self.send_error(500)
        return super().send_head()

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_file():
            self.send_header("ETag", f'"{hash(path.read_bytes())}"')
        super().end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, type[Quiet], Path]]:
    """The address of a folder served over HTTP, its handler, and the folder."""

    class Handler(Quiet):
        pass

    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Handler, folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_has_what_it_had_until_it_changes(
    project: Project, history: History, web: tuple[str, type[Quiet], Path]
) -> None:
    address, handler, folder = web
    (folder / "feed.csv").write_text("1")
    with project.opened() as repo:
        repo.imp_url(f"{address}/feed.csv", "feed.csv")
    run_id = history.run()
    project.lose("feed.csv")
    assert checked(run_id)["restorable"] is True
    handler.broken = True
    assert checked(run_id)["restorable"] is None
    handler.broken = False
    (folder / "feed.csv").write_text("2")
    assert "its source has changed" in checked(run_id)["reason"]
    assert checked(run_id)["restorable"] is None
    (folder / "feed.csv").unlink()
    assert checked(run_id)["entries"][0]["missing"] == ["feed.csv"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_local_source_is_judged_by_its_bytes(
    project: Project, history: History, tmp_path: Path, kind: str
) -> None:
    source = tmp_path / "there" / "source"
    file = source if kind == "file" else source / "sub" / "file"
    file.parent.mkdir(parents=True)
    file.write_text("1")
    with project.opened() as repo:
        repo.imp_url(str(source), "data")
    run_id = history.run()
    project.lose("data")
    answers: list[tuple[Callable[[], object], bool | None]] = [
        (lambda: None, True),
        (lambda: file.write_text("2"), False),
        (file.unlink, False),
        (lambda: shutil.rmtree(tmp_path / "there"), None),
    ]
    for change, answer in answers:
        change()
        assert checked(run_id)["restorable"] is answer


def test_push_names_an_import_that_the_cache_lacks(
    project: Project, history: History, tmp_path: Path
) -> None:
    (tmp_path / "feed.csv").write_text("1")
    with project.opened() as repo:
        repo.imp_url(str(tmp_path / "feed.csv"), "feed.csv")
    run_id = history.run()
    project.lose("feed.csv")
    done = mlflow_dvc("push", run_id, "--json")
    assert done.json["pushed"] == 0
    assert "not in the cache" in done.json["skipped"]["feed.csv"]
