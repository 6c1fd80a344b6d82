"""A file appears in its place whole, with the bytes, the permissions and the owner's choices."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlflow_dvc_plugin.errors import RestoreError
from mlflow_dvc_plugin.restoring import restore
from mlflow_dvc_plugin.restoring.files import temporary
from mlflow_dvc_plugin.restoring.write import placer
from mlflow_dvc_plugin.tracking import Run
from tests.project import Project
from tests.record import record, snapshot

pytestmark = pytest.mark.usefixtures("umask")


@pytest.fixture
def umask() -> Any:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.fixture
def gone(project: Project) -> tuple[Project, Run, dict[str, bytes]]:
    """A project whose data is gone, its run, and what there was."""
    for number in range(5):
        project.write(f"d/deep/{number}", str(number))
    project.write("d/empty", "")
    project.add("d")
    project.write("large", "x" * 5_000_000)
    project.add("large")
    project.commit()
    run = record(project.path)
    before = snapshot(project.path)
    for path in ("d/deep", "d", "large"):
        (project.path / path).rename(project.path.parent / path.replace("/", "-"))
    return project, run, before


_UNNAMED = getattr(os, "O_TMPFILE", -1)


def _writes_unnamed(folder: Path) -> bool:
    try:
        os.close(os.open(folder, os.O_WRONLY | _UNNAMED))
    except OSError:
        return False
    return True


def _no_unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)


def _no_unnamed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As NFS answers."""
    opened = os.open

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & _UNNAMED == _UNNAMED:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return opened(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)


def _no_umask(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux before 6.0 on a disk without ACLs."""
    opened = os.open

    def forget(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        new = opened(path, flags, *args, **kwargs)
        if flags & _UNNAMED == _UNNAMED:
            os.fchmod(new, 0o666)
        return new

    monkeypatch.setattr(os, "open", forget)


def _no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("change", [None, _no_unnamed, _no_unnamed_here, _no_umask, _no_proc])
def test_new_files_are_as_any_other_way_makes_them(
    gone: tuple[Project, Run, dict[str, bytes]],
    change: Callable[[pytest.MonkeyPatch], None] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project, run, before = gone
    can = _writes_unnamed(project.path)
    if change:
        change(monkeypatch)
    named: list[str] = []
    name = temporary.make_path

    def noted(path: str) -> str:
        named.append(path)
        return name(path)

    monkeypatch.setattr(temporary, "make_path", noted)
    restore(run)
    assert snapshot(project.path) == before
    assert project.data_status() == {}
    assert bool(named) == (change is not None or not can)
    for path in ("d/deep/0", "d/empty", "large"):
        assert (project.path / path).stat().st_mode & 0o777 == 0o640
        assert (project.path / path).stat().st_nlink == 1
    assert not list(project.path.rglob("*.mlflow-dvc-tmp"))


def test_a_file_that_appears_at_the_last_moment_stays(
    gone: tuple[Project, Run, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, run, _ = gone
    target = project.path / "d/deep/3"
    fill = placer.Placer._fill

    def late(self: Any, *args: Any) -> os.stat_result:
        info = fill(self, *args)
        if not target.exists():
            target.write_text("a person's")
        return info

    monkeypatch.setattr(placer.Placer, "_fill", late)
    with pytest.raises(RestoreError, match=f"wrote to {target} just now"):
        restore(run)
    assert target.read_text() == "a person's"


def test_an_object_that_went_bad_meanwhile_is_nowhere(
    gone: tuple[Project, Run, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, run, _ = gone
    apply = placer.Placer.place

    def spoil(self: Any, obj: Any, target: str, seen: int | None) -> os.stat_result:
        if target.endswith("deep/3"):
            path = Path(self._project.cache.path(obj))
            path.chmod(0o644)
            path.write_text("!")
        return apply(self, obj, target, seen)

    monkeypatch.setattr(placer.Placer, "place", spoil)
    with pytest.raises(RestoreError, match="corrupt"):
        restore(run)
    assert not (project.path / "d/deep/3").exists()
    assert not list(project.path.rglob("*.mlflow-dvc-tmp"))
