"""What a scan finds in the places that a restore will write to, on a real disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.errors import RestoreError, UnsafePathError
from mlflow_dvc_plugin.progress import Progress
from mlflow_dvc_plugin.restoring.files.stamps import read_stamp
from mlflow_dvc_plugin.restoring.plan import scan
from mlflow_dvc_plugin.restoring.plan.backups import find_backups
from mlflow_dvc_plugin.restoring.plan.scan import Change, Scanner
from mlflow_dvc_plugin.restoring.project import open_project
from mlflow_dvc_plugin.restoring.run_data.fetch import Fetcher, Options
from mlflow_dvc_plugin.restoring.run_data.listings import Target
from mlflow_dvc_plugin.state.objects import Obj
from tests.project import Project

Find = Callable[..., list[Change]]
TEMPORARY = ".0123456789abcdef.mlflow-dvc-tmp"


def obj(text: str) -> Obj:
    return Obj.from_bytes(text.encode())


NEW = obj("new")


def is_in(found: Change, folders: tuple[str, ...]) -> bool:
    """Is it a file that exists in one of the folders?"""
    return bool(found.old and any(found.path.startswith(f"{folder}/") for folder in folders))


@pytest.fixture
def opened(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)  # paths are relative to the project, wherever the process is
    with open_project(str(project.path)) as dvc:
        yield dvc


@pytest.fixture
def find(project: Project, opened: Any) -> Find:
    """Scan for files and folders, by path."""

    def scan(
        files: dict[str, Obj | None], *folders: str, dry_run: bool = True, **values: Any
    ) -> list[Change]:
        fetcher = Fetcher(opened, (), None, Options(dry_run=dry_run, progress=Progress()))
        target = Target(outs=(), files=files, folders=folders, **values)
        changes, times = Scanner(fetcher, str(project.path), target).find_changes()
        assert times == {
            path: os.stat(project.path / path).st_mtime
            for path in times.keys() | {c.path for c in changes if is_in(c, folders)}
        }
        for change in changes:
            expected = read_stamp(str(project.path / change.path)) if change.old else None
            assert change.stamp == expected
        return [change._replace(stamp=None) for change in changes]

    return scan


def change(path: str, old: Obj | None, new: Obj | None) -> Change:
    return Change(path, old, new, None)


def test_files_that_differ_change_in_the_order_of_their_paths(
    project: Project, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_BATCH", 2)
    for name in ("same", "z", "gone", "sub/b", "sub/a"):
        project.write(name, name)
    files = dict.fromkeys(("z", "sub/b", "absent", "no/folder"), NEW)
    same = {name: obj(name) for name in ("same", "sub/a")}
    assert find({**files, **same, "gone": None, "never": None}) == [
        change("absent", None, NEW),
        change("gone", obj("gone"), None),
        change("no/folder", None, NEW),
        change("sub/b", obj("sub/b"), NEW),
        change("z", obj("z"), NEW),
    ]


def test_what_else_is_in_a_folder_is_deleted_but_for_what_dvc_ignores(
    project: Project, find: Find
) -> None:
    project.write("d/keep", "keep")
    project.write("d/extra", "extra")
    project.write("d/sub/extra", "deep")
    project.write("d/ignored", "x")
    project.write(".dvcignore", "ignored\n")
    project.write("d/a.dvc", "a metafile")
    files: dict[str, Obj | None] = {"d/keep": obj("keep"), "d/new": NEW}
    found = find(files, "absent", "d", metafiles={"d/a.dvc": None})
    assert found == [
        change("d/extra", obj("extra"), None),
        change("d/new", None, NEW),
        change("d/sub/extra", obj("deep"), None),
    ]


def test_a_file_in_the_place_of_a_folder_is_deleted(project: Project, find: Find) -> None:
    project.write("d", "file")
    expected = [change("d", obj("file"), None), change("d/sub/x", None, NEW)]
    assert find({"d/sub/x": NEW}, "d/sub") == expected
    assert find({"d/sub/x": NEW}) == expected


@pytest.mark.parametrize("folders", [(), ("d/sub", "d/other"), ("e", "e/sub")])
def test_each_file_is_found_once(
    project: Project, find: Find, monkeypatch: pytest.MonkeyPatch, folders: tuple[str, ...]
) -> None:
    monkeypatch.setattr(scan, "_BATCH", 1)
    project.write("d", "file")
    project.write("e/sub/x", "one")
    assert find(dict.fromkeys(("d/sub/x", "d/sub/y", "e/sub/x"), NEW), *folders) == [
        change("d", obj("file"), None),
        change("d/sub/x", None, NEW),
        change("d/sub/y", None, NEW),
        change("e/sub/x", obj("one"), NEW),
    ]


def test_all_that_is_in_the_place_of_a_file_is_deleted(project: Project, find: Find) -> None:
    project.write("f/a", "a")
    project.write("f/sub/b", "b")
    (project.path / "f/link").symlink_to("a")
    (project.path / "f/empty").mkdir()
    assert find({"f": NEW}) == [
        change("f", None, NEW),
        change("f/a", obj("a"), None),
        change("f/link", obj("a"), None),
        change("f/sub/b", obj("b"), None),
    ]
    (project.path / "f/sub/up").symlink_to("..")
    with pytest.raises(UnsafePathError, match="'f/sub/up' is refused: there is something that is"):
        find({"f": NEW})


@pytest.mark.parametrize("name", [".git", ".dvc"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_a_repository_in_the_place_of_a_file_is_refused(
    project: Project, find: Find, name: str, is_folder: bool
) -> None:
    project.write(f"f/sub/{name}/x" if is_folder else f"f/sub/{name}", "x")
    with pytest.raises(UnsafePathError, match="'f/sub' is refused: there is a Git repository or"):
        find({"f": NEW})


def test_a_link_stands_for_the_bytes_of_its_target(project: Project, find: Find) -> None:
    project.write("target", "text")
    for name in ("same", "differs", "wanted", "other"):
        (project.path / name).symlink_to("target")
    (project.path / "broken").symlink_to("gone")
    (project.path / "fine").symlink_to("gone")
    files: dict[str, Obj | None] = {
        "same": obj("text"),
        "differs": NEW,
        "wanted": Obj("symlink", "target"),
        "other": Obj("symlink", "x"),
        "broken": NEW,
        "fine": Obj("symlink", "gone"),
    }
    assert find(files) == [
        change("broken", Obj("symlink", "gone"), NEW),
        change("differs", obj("text"), NEW),
        change("other", obj("text"), Obj("symlink", "x")),
    ]


def test_each_file_is_hashed_as_it_is_expected_to_be(project: Project, find: Find) -> None:
    for name in ("old", "new", "plain"):
        project.write(name, "a\r\nb")
    legacy = Obj("md5-dos2unix", obj("a\nb").value)
    assert find({"old": legacy, "new": obj("a\nb"), "plain": obj("a\r\nb")}) == [
        change("new", obj("a\r\nb"), obj("a\nb"))
    ]


def test_what_dvc_knows_is_not_hashed_again_but_for_another_kind_of_hash(
    project: Project, opened: Any, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed, counted = [], []

    def hash_file(path: str, name: str) -> str:
        hashed.append((os.path.basename(path), name))
        return "0" * 32

    monkeypatch.setattr(opened, "hash_file", hash_file)
    monkeypatch.setattr(Progress, "advance", lambda _, files: counted.append(files))
    legacy = Obj("md5-dos2unix", "1" * 32)
    records = {"same": obj("x"), "other": obj("y"), "extra": obj("z"), "old": legacy}
    for name in ("new", "same", "other", "extra", "old"):
        project.write(f"d/{name}", name)
    full = {str(project.path / "d" / name): known for name, known in records.items()}
    opened.database.save_hashes({path: (known, os.stat(path)) for path, known in full.items()})
    files = {"d/same": obj("x"), "d/other": legacy, "d/old": obj("z"), "d/new": NEW}
    zeros = "0" * 32
    assert find(files, "d") == [
        change("d/extra", obj("z"), None),
        change("d/new", Obj("md5", zeros), NEW),
        change("d/old", Obj("md5", zeros), obj("z")),
        change("d/other", Obj("md5-dos2unix", zeros), legacy),
    ]
    assert sorted(hashed) == [("new", "md5"), ("old", "md5"), ("other", "md5-dos2unix")]
    assert counted == [2, 1, 1, 1]


def test_what_is_no_file_is_refused(project: Project, find: Find) -> None:
    os.mkfifo(project.path / "pipe")
    with pytest.raises(UnsafePathError, match="'pipe' is refused: there is something that is not"):
        find({"pipe": NEW})


def test_a_folder_behind_a_link_is_refused(project: Project, find: Find, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (project.path / "d").symlink_to(tmp_path / "outside")
    for files, folders in (({"d/x": NEW}, ()), ({}, ("d",)), ({}, ("d/sub",))):
        for dry_run in (True, False):
            with pytest.raises(UnsafePathError, match=r"'d.*' is refused: d is a symbolic"):
                find(files, *folders, dry_run=dry_run)


def test_patterns_that_cannot_be_read_are_one_sentence(project: Project, find: Find) -> None:
    project.write("d/.dvcignore", b"\xff\n")
    with pytest.raises(RestoreError, match=r"^d/\.dvcignore: "):
        find({}, "d")


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_a_killed_restore_left_is_deleted_and_never_data(
    project: Project, find: Find, dry_run: bool
) -> None:
    places = ("", "d/", "d/sub/", "e/f/", "other/")
    for place in places:
        project.write(f"{place}{TEMPORARY}", "half")
        project.write(f"{place}x{TEMPORARY}y", "no temporary file")
    files = dict.fromkeys(("a", "d/b", "e/f/x", "gone/c"))
    found = find(files, "d", dry_run=dry_run)
    names = (f"d/sub/x{TEMPORARY}y", f"d/x{TEMPORARY}y")
    assert found == [change(name, obj("no temporary file"), None) for name in names]
    left = [place for place in places if (project.path / f"{place}{TEMPORARY}").exists()]
    assert left == (list(places) if dry_run else ["other/"])


def test_what_is_replaced_is_divided_by_what_saves_it(
    project: Project, opened: Any, tmp_path: Path
) -> None:
    project.add("cached", "cached")
    for name in ("unsaved", "lines"):
        project.write(name, f"{name}\r\n")
    (tmp_path / "mine").write_text("mine")
    (project.path / "link").symlink_to(tmp_path / "mine")
    (project.path / "broken").symlink_to("gone")
    (project.path / "other").symlink_to(tmp_path / "mine")
    root, broken = str(project.path), Obj("symlink", "gone")
    changes = [
        Change("cached", obj("cached"), NEW, 1),
        Change("unsaved", obj("unsaved\r\n"), NEW, 1),
        Change("lines", Obj("md5-dos2unix", obj("lines\n").value), NEW, 1),
        Change("link", obj("mine"), NEW, 1),
        Change("broken", broken, None, 1),
        Change("absent", None, NEW, None),
    ]
    link = Obj("symlink", str(tmp_path / "mine"))
    found = find_backups(opened, root, changes, ["other", "cached"])
    assert found.saved == {"cached": obj("cached")}
    assert found.unsaved == {
        "unsaved": obj("unsaved\r\n"),
        "lines": obj("lines\r\n"),
        "link": link,
        "broken": broken,
    }
    assert found.symlinks == {"link": link, "broken": broken, "other": link}
    opened.cache.save_file(str(tmp_path / "mine"), obj("mine"))
    assert find_backups(opened, root, changes, []).saved == {
        "cached": obj("cached"),
        "link": link,
    }


def test_dvc_s_own_link_into_a_lost_cache_is_nobody_s_work(project: Project, opened: Any) -> None:
    stored = os.path.relpath(opened.cache.path(obj("x")), project.path)
    (project.path / "a").symlink_to(stored)
    link = Obj("symlink", stored)
    found = find_backups(opened, str(project.path), [Change("a", link, NEW, 1)], [])
    assert found == ({"a": link}, {}, {})


def test_the_bytes_of_a_file_with_an_md5_hash_are_not_compared(
    project: Project, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("a", "a")
    monkeypatch.delattr("filecmp.cmp")
    found = find_backups(opened, str(project.path), [Change("a", obj("a"), NEW, 1)], [])
    assert found.saved == {"a": obj("a")}


@pytest.mark.parametrize("stored", ["a\r\nb\n", "a\nb\r\n", "a\nb\n"])
def test_an_object_of_dvc_2_saves_a_file_only_with_the_very_bytes(
    project: Project, opened: Any, stored: str
) -> None:
    legacy = Obj("md5-dos2unix", obj("a\nb\n").value)
    files = (os.path.relpath(opened.cache.path(legacy), project.path), "a")
    for path, text in zip(files, (stored, "a\r\nb\n"), strict=True):
        os.utime(project.write(path, text), (1, 1))
    found = find_backups(opened, str(project.path), [Change("a", legacy, NEW, 1)], [])
    if stored == "a\r\nb\n":
        assert found.saved == {"a": legacy}
    else:
        assert found.unsaved == {"a": obj("a\r\nb\n")}
