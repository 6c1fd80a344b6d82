"""Every kind of out is restored, or named with the reason before anything is touched."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_dvc_plugin.errors import MissingObjectsError
from mlflow_dvc_plugin.restoring import restore, undo
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project, run
from tests.record import record, snapshot

pytestmark = pytest.mark.slow


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def registry(tmp_path: Path) -> Project:
    """Another Git repository, whose data the project imports."""
    made = Project.create(tmp_path / "registry")
    made.remote(tmp_path / "registry-remote")
    made.write("pets/cat.txt", "miau")
    made.write("pets/dog.txt", "wau")
    made.add("pets")
    made.add("fish.txt", "blub")
    made.push()
    made.commit()
    return made


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTP server on the loopback interface, and the folder that it serves."""
    folder = tmp_path / "www"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}", folder
    httpd.shutdown()


def without_commit(recorded: Run) -> Run:
    tags = {key: value for key, value in recorded.tags.items() if key != "dvc.git_commit"}
    return replace(recorded, tags=tags)


@pytest.mark.versions
def test_data_hashed_by_dvc_2_comes_back_with_its_line_ends(
    project: Project, tmp_path: Path
) -> None:
    project.remote(tmp_path / "remote")
    for text in (b"one\r\ntwo\r\n", b"three\r\n"):
        value = md5(text.replace(b"\r\n", b"\n"))
        for store in (project.path / ".dvc/cache", tmp_path / "remote"):
            target = store / value[:2] / value[2:]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text)
            target.chmod(0o444)
        project.write("old.txt", text)
        metafile = f"outs:\n- md5: {value}\n  size: {len(text)}\n  path: old.txt\n"
        project.write("old.txt.dvc", metafile)
        if text.startswith(b"one"):
            before, recorded = snapshot(project.path), record(project.path)
            assert "md5-dos2unix" not in recorded.tags.values()
    project.lose("old.txt")

    restore(recorded)

    assert snapshot(project.path) == before
    assert project.data_status() == {}


def test_data_in_the_way_that_the_old_hash_cannot_tell_is_not_lost(project: Project) -> None:
    text = b"one\ntwo\n"
    value = md5(text)
    target = project.path / ".dvc/cache" / value[:2] / value[2:]
    target.parent.mkdir(parents=True)
    target.write_bytes(text)
    project.write("old.txt", text)
    project.write("old.txt.dvc", f"outs:\n- md5: {value}\n  size: 8\n  path: old.txt\n")
    recorded = record(project.path)
    project.add("new.txt", "new")
    project.write("old.txt", b"one\r\ntwo\r\n")
    # The same to DVC 2, so there is nothing to restore: but nothing is lost either.
    restore(recorded)
    assert (project.path / "old.txt").read_bytes() == b"one\r\ntwo\r\n"


@pytest.mark.versions
@pytest.mark.parametrize("known", ["today", "at the commit"])
def test_an_import_from_another_repository_comes_back(
    project: Project, registry: Project, known: str
) -> None:
    for name in ("pets", "fish.txt"):
        project.dvc("import", "-q", str(registry.path), name)
    project.commit("imported")
    before, recorded = snapshot(project.path), record(project.path)
    if known == "at the commit":
        registry.write("pets/cat.txt", "purr")
        registry.add("pets")
        registry.push()
        registry.commit()
        project.dvc("update", "-q", "pets.dvc")
        project.commit("updated")
        assert snapshot(project.path) != before
    project.lose("pets", "fish.txt")

    restore(recorded)

    assert snapshot(project.path) == before
    assert project.data_status() == {}


def test_a_repository_around_the_folder_for_temporary_files_is_no_matter(
    project: Project, registry: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.dvc("import", "-q", str(registry.path), "fish.txt")
    project.commit()
    before, recorded = snapshot(project.path), record(project.path)
    project.git("rm", "-q", "fish.txt.dvc")
    project.lose("fish.txt")
    around = Project.create(tmp_path / "around")
    around.write(".gitignore", "/tmp/\n")
    (around.path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(around.path / "tmp"))
    restore(recorded)
    # The source of an import is in no tag, but in the commit.
    assert snapshot(project.path) == before


def test_an_import_whose_source_is_gone_is_named(project: Project, registry: Project) -> None:
    project.dvc("import", "-q", str(registry.path), "fish.txt")
    project.commit()
    recorded = record(project.path)
    project.lose("fish.txt")
    shutil.rmtree(registry.path)
    before = snapshot(project.path)
    with pytest.raises(MissingObjectsError, match=r"fish\.txt"):
        restore(recorded)
    assert snapshot(project.path) == before


@pytest.mark.versions
def test_an_import_from_a_url_comes_back_from_its_source(
    project: Project, website: tuple[str, Path]
) -> None:
    url, folder = website
    (folder / "data.csv").write_text("a,b\n")
    project.dvc("import-url", "-q", f"{url}/data.csv")
    project.commit()
    before, recorded = snapshot(project.path), record(project.path)
    assert not any("://" in value for value in recorded.tags.values())
    project.lose("data.csv")
    restore(recorded)
    assert snapshot(project.path) == before
    assert project.data_status() == {}


def test_an_import_from_a_url_that_changed_is_named(
    project: Project, website: tuple[str, Path]
) -> None:
    url, folder = website
    (folder / "data.csv").write_text("a,b\n")
    project.dvc("import-url", "-q", f"{url}/data.csv")
    recorded = record(project.path)
    project.lose("data.csv")
    (folder / "data.csv").write_text("c,d\n")
    with pytest.raises(MissingObjectsError, match=r"data\.csv \(.*another version"):
        restore(recorded)


def test_a_folder_imported_from_a_path_comes_back(project: Project, tmp_path: Path) -> None:
    (tmp_path / "source/sub").mkdir(parents=True)
    (tmp_path / "source/a").write_text("1")
    (tmp_path / "source/sub/b").write_text("2")
    project.dvc("import-url", "-q", str(tmp_path / "source"), "copy")
    before, recorded = snapshot(project.path), record(project.path)
    project.lose("copy")
    restore(recorded)
    assert snapshot(project.path) == before
    assert project.data_status() == {}


def test_an_http_remote(project: Project, website: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = website
    project.remote(tmp_path / "www")
    project.add("a", "1")
    project.write("d/b", "2")
    project.add("d")
    project.push()
    before, recorded = snapshot(project.path), record(project.path)
    project.dvc("remote", "add", "-q", "-d", "web", url)
    project.lose("a", "d")
    restore(recorded)
    assert snapshot(project.path) == before
    value = md5(b"1")
    (folder / f"files/md5/{value[:2]}/{value[2:]}").unlink()
    project.lose("a", "d")
    with pytest.raises(MissingObjectsError, match="not in the remote") as err:
        restore(recorded)
    assert len(err.value.reasons) == 1
    project.dvc("remote", "modify", "-q", "web", "url", "http://127.0.0.1:1")
    shutil.rmtree(project.path / ".dvc/cache")
    with pytest.raises(MissingObjectsError, match="Connect call failed") as err:
        restore(recorded)


def test_an_out_with_a_remote_of_its_own(project: Project, tmp_path: Path) -> None:
    project.remote(tmp_path / "default")
    project.dvc("remote", "add", "-q", "special", str(tmp_path / "special"))
    (tmp_path / "special").mkdir()
    project.write("d/a", "1")
    project.dvc("add", "-q", "d")
    metafile = project.path / "d.dvc"
    metafile.write_text(metafile.read_text() + "  remote: special\n")
    project.push()
    assert not list((tmp_path / "default").rglob("*.dir"))
    before, recorded = snapshot(project.path), without_commit(record(project.path))
    project.lose("d")
    restore(recorded)
    assert snapshot(project.path) == before


def test_data_that_is_never_pushed_is_named_as_that(project: Project, tmp_path: Path) -> None:
    project.remote(tmp_path / "remote")
    project.add("a", "1")
    metafile = project.path / "a.dvc"
    metafile.write_text(metafile.read_text() + "  push: false\n")
    recorded = record(project.path)
    (project.path / "a").unlink()
    restore(recorded)
    assert (project.path / "a").read_text() == "1"
    project.lose("a")
    with pytest.raises(MissingObjectsError, match="push: false"):
        restore(recorded)


def test_metrics_that_git_holds_come_back_from_the_commit(project: Project) -> None:
    project.write(
        "dvc.yaml",
        "stages:\n  score:\n    cmd: cp in.txt scores.json && cp in.txt model\n"
        "    deps: [in.txt]\n    outs: [model]\n    metrics:\n    - scores.json:\n"
        "        cache: false\n",
    )
    project.write("in.txt", '{"a": 1}')
    project.dvc("repro", "-q")
    project.commit()
    before, recorded = snapshot(project.path), record(project.path)
    project.write("in.txt", '{"a": 2}')
    project.dvc("repro", "-q")

    result = restore(recorded)

    assert (project.path / "scores.json").read_text() == '{"a": 1}'
    assert "scores.json" in result.metafiles
    run("git", "checkout", "-q", "in.txt", cwd=project.path)
    assert snapshot(project.path) == before
    assert project.data_status() == {}


def test_metrics_that_no_commit_has_are_left_and_named(project: Project) -> None:
    project.write(
        "dvc.yaml",
        "stages:\n  score:\n    cmd: cp in.txt s.json\n    deps: [in.txt]\n"
        "    metrics: [{s.json: {cache: false}}]\n",
    )
    project.write("in.txt", "1")
    project.commit()
    project.dvc("repro", "-q")
    recorded = record(project.path)
    project.write("in.txt", "2")
    project.dvc("repro", "-q")
    # DVC's cache of runs has the metrics of both.
    restore(recorded)
    assert (project.path / "s.json").read_text() == "1"
    undo()
    assert (project.path / "s.json").read_text() == "2"
    project.lose()
    result = restore(recorded)
    assert (project.path / "s.json").read_text() == "2"
    assert [text for text in result.left if text.startswith("s.json:")]


@pytest.mark.parametrize("dirty", [False, True])
def test_more_than_300_outs(project: Project, tmp_path: Path, dirty: bool) -> None:
    project.remote(tmp_path / "remote")
    project.add_files("data", {f"{number}.txt": b"%d" % number for number in range(305)})
    project.commit()
    from mlflow_dvc_plugin.capturing import capture
    from mlflow_dvc_plugin.capturing.commit_state import add_commit_entries

    if dirty:
        project.add_files("data", {"7.txt": b"changed"})
    state = capture(project.path)
    assert state is not None
    before = snapshot(project.path)
    recorded = Run("5" * 32, "", "0", 0, add_commit_entries(state).to_tags())
    assert "dvc.manifest" in recorded.tags
    changed = [str(project.write(f"data/{number}.txt", "something else")) for number in (7, 8, 9)]
    with project.opened() as repo:
        repo.add(changed)
    project.commit("later")
    restore(recorded)
    assert snapshot(project.path) == before
    assert project.data_status() == {}
