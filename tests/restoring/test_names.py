"""Names that this system, or this disk, cannot have are refused before anything is touched."""

from __future__ import annotations

import errno
import ntpath
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_dvc_plugin.errors import UnsafePathError
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.restoring.files import disk, paths
from mlflow_dvc_plugin.restoring.files.disk import check_case, check_files, check_lengths
from mlflow_dvc_plugin.restoring.files.windows_names import find_fault
from mlflow_dvc_plugin.system_calls import find_longest_path
from tests.project import Project, run
from tests.record import record, snapshot


@pytest.fixture
def disk_without_case(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk that ignores case: NTFS in a file, where the system has no other."""
    (tmp_path / "probe").touch()
    if (tmp_path / "PROBE").exists():
        yield tmp_path
        return
    if not shutil.which("lowntfs-3g") or os.getuid() or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("needs a disk that ignores case, or root and ntfs-3g")
    image, top = tmp_path / "disk", tmp_path / "mounted"
    top.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    run("mkntfs", "--force", "--quick", "--quiet", str(image), cwd=tmp_path)
    run("lowntfs-3g", "-o", "ignore_case", str(image), str(top), cwd=tmp_path)
    (top / "probe").touch()
    try:
        yield top
    finally:
        run("umount", str(top), cwd=tmp_path)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("CON", "reserves the name 'CON'"),
        ("data/nul", "reserves the name 'nul'"),
        ("com1.csv", "reserves the name 'com1.csv'"),
        ("COM¹", "reserves"),
        ("aux .tar.gz", "reserves"),
        ("lpt9/a", "reserves"),
        ("C:/a", "does not allow ':'"),
        ("data/12:30.csv", "does not allow ':'"),
        (".git::$INDEX_ALLOCATION/config", "does not allow ':'"),
        ("data\\a", "does not allow '\\\\'"),
        ("..\\..\\a", "does not allow '\\\\'"),
        ("what?", "does not allow '?'"),
        ("a\x01", "does not allow '\\x01'"),
        ("data./a", "removes the '.'"),
        ("data /a", "removes the ' '"),
        ("data/a.", "removes the '.'"),
    ],
)
def test_what_windows_cannot_have_is_found(path: str, fault: str) -> None:
    assert fault in find_fault(path)


@pytest.mark.parametrize(
    "path",
    [
        "data/a",
        "console",
        "com10",
        "com",
        "nul_1.csv",
        ".dvc",
        "a.b.c",
        "größe/漢",
        "a b/c d",
        "$a",
    ],
)
def test_what_windows_can_have_is_accepted(path: str) -> None:
    assert find_fault(path) == ""


@given(st.text(st.sampled_from("conCONprnaulptm1¹0$.: \\<é/"), min_size=1, max_size=9))
def test_the_rules_are_pythons_own(path: str) -> None:
    names = path.split("/")
    if any(name in (".", "..", "") for name in names):
        return  # other checks refuse these on any system
    if hasattr(ntpath, "isreserved"):
        assert bool(find_fault(path)) == any(map(ntpath.isreserved, names))
    elif any(PureWindowsPath(name).is_reserved() for name in names):
        assert find_fault(path)


@pytest.mark.parametrize("path", ["data/nul.csv", "12:30.csv", "a./b"])
def test_a_restore_on_windows_refuses_it_and_touches_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    project.add(path, "1")
    project.add("b.csv", "1")
    recorded = record(project.path)
    project.add("b.csv", "2")
    before = snapshot(project.path)
    monkeypatch.setattr(paths, "IS_WINDOWS", True)
    for out in (None, project.path.parent / "out"):
        with pytest.raises(UnsafePathError, match=r"Windows .* on another system") as err:
            restore(recorded, out=out)
        assert path in str(err.value)
        assert "\n" not in str(err.value)
    assert snapshot(project.path) == before
    assert not (project.path.parent / "out").exists()


@pytest.mark.parametrize(
    "several",
    [
        ["data/a", "data/A"],
        ["Data/a", "data/b"],
        ["a", "b", "A/c"],
        ["gr\u00f6\u00dfe", "gro\u0308SSE"],
    ],
)
def test_names_that_differ_only_in_case_collide(several: list[str]) -> None:
    with pytest.raises(UnsafePathError, match="for the same name"):
        check_case(several)


def test_the_same_folder_in_one_spelling_does_not_collide() -> None:
    check_case(["Data/a", "Data/b", "Data/Sub/a", "Data/Sub/b", "a"])


def test_a_disk_that_ignores_case_is_known(disk_without_case: Path) -> None:
    deep = disk_without_case / "not" / "yet"
    assert disk.ignores_case(str(deep))
    (disk_without_case / "Data").mkdir()
    assert disk.ignores_case(str(disk_without_case))


def test_a_disk_that_tells_case_apart_is_known(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    if (tmp_path / "DATA").exists():
        pytest.skip("this disk ignores case")
    assert not disk.ignores_case(str(tmp_path))
    (tmp_path / "DATA").mkdir()
    assert not disk.ignores_case(str(tmp_path / "new"))


def test_data_that_collides_on_the_disk_is_not_restored_to_it(
    project: Project, disk_without_case: Path
) -> None:
    project.write("data/a", "1")
    project.write("data/A", "2")
    if len(os.listdir(project.path / "data")) < 2:
        pytest.skip("the project's own disk ignores case")
    project.add("data")
    project.add("b", "3")
    recorded = record(project.path)
    target = disk_without_case / "out"
    with pytest.raises(UnsafePathError, match=r"takes .data/a. and .data/A. for"):
        restore(recorded, out=target)
    assert not target.exists()
    restore(recorded, ["b"], out=target)
    assert snapshot(target) == {"b": b"3"}


def test_an_out_of_today_in_another_spelling_is_not_written_to(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add("data/a", "1")
    recorded = record(project.path)
    (project.path / "data/a.dvc").unlink()
    project.add("data/A", "2")
    before = snapshot(project.path)
    monkeypatch.setattr(disk, "ignores_case", lambda _: True)
    with pytest.raises(UnsafePathError, match=r"takes .data/a. and .data/A. for"):
        restore(recorded)
    assert snapshot(project.path) == before


def test_the_longest_path_is_the_systems(tmp_path: Path) -> None:
    def ask(length: int) -> int | None:
        path = os.path.join(str(tmp_path), "").ljust(length, "/")
        try:
            os.stat(path)
        except OSError as err:
            return err.errno
        return None

    longest = find_longest_path()
    if os.name == "nt":
        pytest.skip("Windows measures a path after it removed what is superfluous")
    assert ask(longest) is None
    assert ask(longest + 1) == errno.ENAMETOOLONG


def test_a_path_is_as_long_as_it_can_be_and_no_longer(tmp_path: Path) -> None:
    root = str(tmp_path)
    room = 259 - len(root) - 1
    check_lengths(root, ["a" * room, "\N{GRINNING FACE}" * (room // 4)], 259)
    for path in ("a" * (room + 1), "\N{GRINNING FACE}" * (room // 4 + 1)):
        with pytest.raises(UnsafePathError, match="Restore to a folder with a shorter path"):
            check_lengths(root, [path], 259)


def test_a_file_has_room_for_its_temporary_name(tmp_path: Path) -> None:
    folder = "f" * (259 - len(str(tmp_path)) - 30)
    with pytest.raises(UnsafePathError, match="too long"):
        check_lengths(str(tmp_path), [f"{folder}/a"], 259)


def test_too_long_a_path_is_refused_before_anything_is_touched(
    project: Project, tmp_path: Path
) -> None:
    project.add("/".join(["x" * 100] * 20), "1")
    project.add("a", "1")
    recorded = record(project.path)
    folder = tmp_path / "/".join(["y" * 200] * 15)
    with pytest.raises(UnsafePathError, match="too long below") as err:
        restore(recorded, out=folder)
    assert "\n" not in str(err.value)
    assert not (tmp_path / ("y" * 200)).exists()


def test_files_are_judged_as_before(tmp_path: Path) -> None:
    check_files(str(tmp_path), ["a/b", "a/c", "d"])
    with pytest.raises(UnsafePathError, match="recorded twice"):
        check_files(str(tmp_path), ["a", "a"])
    with pytest.raises(UnsafePathError, match="as a file and as a folder"):
        check_files(str(tmp_path), ["a/b/c", "a/b"])
