"""A process captures again and again: nothing changed costs nothing, and a change is seen."""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing import capture, reading
from mlflow_dvc_plugin.capturing.formats import pipeline
from mlflow_dvc_plugin.capturing.memory import watch
from mlflow_dvc_plugin.capturing.workspace import hashing
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.settings import Settings
from mlflow_dvc_plugin.state import DataState
from tests.capturing.oracle import UNJUDGED

MD5 = "0123456789abcdef0123456789abcdef"
YAML = "stages:\n  a:\n    cmd: x\n    outs:\n    - out\n"
LOCK = f"schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - path: out\n      md5: {MD5}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text(YAML)
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.dvc").write_text(f"outs:\n- md5: {MD5}\n  path: data\n")
    (tmp_path / "params.yaml").write_text("name: one\n")
    return tmp_path


def look(root: Path) -> DataState:
    state = capture(root, UNJUDGED)
    assert state is not None
    return state


def paths(root: Path) -> list[str]:
    return [entry.path for entry in look(root).entries]


@pytest.fixture(params=["just written", "written long ago"])
def settled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "written long ago":
        time.sleep(0.3)
        monkeypatch.setattr(watch, "SETTLED_NS", 100_000_000)


def add_folder(folder: Path) -> None:
    folder.mkdir()
    (folder / "b.dvc").write_text("outs:\n- path: b\n")


CHANGES: dict[str, Callable[[Path], object]] = {
    "lock entry": lambda root: (root / "dvc.lock").write_text(LOCK.replace("0123", "3210")),
    "new metafile": lambda root: (root / "sub" / "b.dvc").write_text("outs:\n- path: b\n"),
    "metafile in a new folder": lambda root: add_folder(root / "new"),
    "metafile gone": lambda root: (root / "sub" / "a.dvc").unlink(),
    "folder gone": lambda root: shutil.rmtree(root / "sub"),
    "lock gone": lambda root: (root / "dvc.lock").unlink(),
    "nested project": lambda root: (root / "sub" / ".dvc").mkdir(),
    ".dvcignore": lambda root: (root / ".dvcignore").write_text("sub\n"),
    "replaced": lambda root: (
        (root / "x").write_text(YAML.replace("- out", "- tuo")),
        (root / "x").replace(root / "dvc.yaml"),
    ),
    "other remote": lambda root: (root / ".dvc" / "config").write_text("[core]\nremote = r\n"),
}


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", CHANGES)
def test_change_is_seen(root: Path, change: str) -> None:
    before = look(root)
    assert look(root) is before
    CHANGES[change](root)
    after = look(root)
    assert after != before
    reading.forget_project(str(root))
    assert look(root) == after


@pytest.mark.usefixtures("settled")
def test_edit_of_the_same_size_within_one_tick_is_seen(root: Path) -> None:
    for number in range(200):
        value = f"a{number:031x}"
        (root / "dvc.lock").write_text(LOCK.replace(MD5, value))
        info = (root / "dvc.lock").stat()
        # As if the clock stood still, as it does between two ticks.
        os.utime(root / "dvc.lock", ns=(info.st_atime_ns, 10**18 if number > 100 else 0))
        assert look(root).entries[0].hash == value


def test_edit_with_the_time_set_back_is_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SETTLED_NS", 0)
    look(root)
    info = (root / "dvc.lock").stat()
    (root / "dvc.lock").write_text(LOCK.replace("0123", "3210"))
    os.utime(root / "dvc.lock", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert look(root).entries[0].hash == MD5.replace("0123", "3210")


@pytest.mark.usefixtures("settled")
def test_what_templates_use_is_watched(root: Path) -> None:
    (root / "dvc.yaml").write_text("stages:\n  a:\n    cmd: x\n    outs: ['${name}']\n")
    assert paths(root) == ["one", "sub/data"]
    (root / "params.yaml").write_text("name: two\n")
    assert paths(root) == ["sub/data", "two"]


def test_what_is_of_no_interest_changes_nothing(root: Path) -> None:
    before = look(root)
    for number in range(3):
        (root / f"mlflow.db-journal{number}").write_text("")
        assert look(root) is before
    (root / "mlruns").mkdir()
    assert look(root) == before


def test_one_changed_metafile_is_parsed_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look(root)
    monkeypatch.setattr(pipeline, "parse_pipeline", None)
    (root / "sub" / "a.dvc").write_text(f"outs:\n- md5: {MD5}\n  path: other\n")
    assert paths(root) == ["out", "sub/other"]


def test_environment_and_settings_are_read_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(root).exp_name is None
    monkeypatch.setenv("DVC_EXP_NAME", "e")
    assert look(root).exp_name == "e"
    monkeypatch.setenv("DVC_STAGE", "a")
    state = look(root)
    assert (state.stage, [entry.path for entry in state.entries]) == ("a", ["sub/data"])
    chosen = capture(root, Settings(status_budget_ms=0, include=("none",)))
    assert chosen is not None
    assert chosen.entries == ()


def test_single_file_is_proven_anew_each_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_SETTLED_NS", 0)
    (root / "sub" / "data").write_text("data")
    (root / "out").write_text("data")
    md5 = "8d777f385d3dfec8815d20f7496026dc"
    (root / "sub" / "a.dvc").write_text(f"outs:\n- md5: {md5}\n  hash: md5\n  path: data\n")
    (root / "dvc.lock").write_text(
        LOCK.replace(MD5, md5).replace("path: out\n", "path: out\n      hash: md5\n")
    )
    for _ in range(3):
        state = capture(root, Settings(status_budget_ms=10_000))
        assert state is not None
        assert state.status == "clean"
    info = (root / "out").stat()
    (root / "out").write_text("atad")
    os.utime(root / "out", ns=(info.st_atime_ns, info.st_mtime_ns))
    state = capture(root, Settings(status_budget_ms=10_000))
    assert state is not None
    assert (state.status, state.modified) == ("modified", ("out",))


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(root: Path, enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        for _ in range(2):
            look(root)
            assert gc.isenabled() == enabled
        (root / "dvc.lock").write_text("[")
        with pytest.raises(CaptureError):
            look(root)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
