"""A saved reading is used only if a reading from scratch would find the same."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_dvc_plugin.capturing import reading
from mlflow_dvc_plugin.capturing.memory import watch
from mlflow_dvc_plugin.capturing.snapshot import take_snapshot
from mlflow_dvc_plugin.errors import CaptureError
from mlflow_dvc_plugin.state import DataState
from tests.capturing.oracle import UNJUDGED
from tests.effort import bounded
from tests.project import Project

MD5 = "0123456789abcdef0123456789abcdef"
PIPELINE = """vars: [config.yaml]
stages:
  prepare:
    foreach: ${regions}
    do:
      cmd: python prepare.py ${item}
      deps: [raw]
      outs: ['${folder}/${item}.csv']
  train: {cmd: python train.py, deps: ['${folder}/a.csv'], outs: [model.pkl]}
"""


def lock(value: str) -> str:
    outs = {"prepare@a": "prepared/a.csv", "prepare@b": "prepared/b.csv", "train": "model.pkl"}
    return "schema: '2.0'\nstages:\n" + "".join(
        f"  {name}:\n    cmd: x\n    outs:\n    - path: {path}\n      md5: {value}\n      size: 3\n"
        for name, path in outs.items()
    )


@pytest.fixture
def root(project: Project) -> Path:
    for name, content in {
        "config.yaml": "folder: prepared\nregions: [a, b]\n",
        "dvc.yaml": PIPELINE,
        "dvc.lock": lock(MD5),
        "raw.dvc": f"outs:\n- md5: {MD5}.dir\n  path: raw\n",
        "sub/one.dvc": f"outs:\n- md5: {MD5}\n  path: one\n",
        "sub/two.dvc": f"outs:\n- md5: {MD5}\n  path: two\n",
        ".dvcignore": "# none\n*.log\n/later/\n",
    }.items():
        project.write(name, content)
    project.commit()
    return project.path


@pytest.fixture(params=["just written", "written long ago"])
def settled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether signatures alone have to show a change."""
    if request.param == "written long ago":
        monkeypatch.setattr(watch, "SETTLED_NS", 0)


def look(root: Path, save: bool = True) -> DataState | str:
    """What a new process finds; without `save`, what is there, read from scratch."""
    reading.forget_project(str(root))
    try:
        return take_snapshot(str(root), UNJUDGED, save)
    except CaptureError as err:
        return str(err)


def overwrite(path: Path, content: str) -> None:
    """Write in place, and put the time back."""
    info = path.stat()
    path.write_text(content)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def replace(path: Path, content: str) -> None:
    """Rename another file into place, of the same time and size."""
    info = path.stat()
    new = path.with_name("between")
    new.write_text(content)
    os.utime(new, ns=(info.st_atime_ns, info.st_mtime_ns))
    new.replace(path)


def toggle(path: Path, content: str) -> None:
    """Remove what is there, or write it."""
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def swap(one: Path, two: Path) -> None:
    between = one.with_name("between")
    one.rename(between)
    two.rename(one)
    between.rename(two)


def link(path: Path, target: str) -> None:
    """A metafile that is a link, whose target changes from time to time."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def hashed(choose: random.Random) -> str:
    return f"{choose.getrandbits(128):032x}"


def changes(root: Path, choose: random.Random) -> dict[str, Callable[[], object]]:
    """What can happen to a project between two processes."""
    return {
        "nothing": lambda: None,
        "lock": lambda: overwrite(root / "dvc.lock", lock(hashed(choose))),
        "lock replaced": lambda: replace(root / "dvc.lock", lock(hashed(choose))),
        ".dvc file": lambda: overwrite(
            root / "raw.dvc", f"outs:\n- md5: {hashed(choose)}.dir\n  path: raw\n"
        ),
        "two .dvc files": lambda: swap(root / "sub/one.dvc", root / "sub/two.dvc"),
        "new .dvc file": lambda: toggle(
            root / f"sub/{choose.choice('abc')}.dvc", f"outs:\n- md5: {MD5}\n  path: n\n"
        ),
        "linked .dvc file": lambda: link(
            root / "sub/linked.dvc", choose.choice(("../raw.dvc", "absent", "../sub/one.dvc"))
        ),
        "variable": lambda: overwrite(
            root / "config.yaml",
            f"folder: {choose.choice(('prepared', 'prepared', 'elsewher'))}\n"
            f"regions: [a, {choose.choice('bcd')}]\n",
        ),
        "broken lock": lambda: overwrite(root / "dvc.lock", "<<<<<<< HEAD\n"),
        "broken definition": lambda: toggle(root / "sub/dvc.yaml", "stages: [\n"),
        ".dvcignore": lambda: overwrite(
            root / ".dvcignore",
            choose.choice(("# none\n*.log\n/later/\n", "# none\n*.log\n/sub///\n")),
        ),
        "deeper .dvcignore": lambda: toggle(root / "sub/.dvcignore", "two.dvc\n"),
        ".gitignore": lambda: toggle(root / "sub/.gitignore", "one.dvc\n"),
        "exclude of Git": lambda: toggle(root / ".git/info/exclude", "two.dvc\n"),
        "configuration of Git": lambda: toggle(
            Path.home() / ".gitconfig", "[core]\n\texcludesfile = ~/excluded\n"
        ),
        "the user's exclude": lambda: toggle(Path.home() / "excluded", "one.dvc\n"),
        "index of Git": lambda: subprocess.run(["git", "add", "-A"], cwd=root, check=True),
        "configuration of DVC": lambda: (root / ".dvc/config").write_text(
            f"[core]\nremote = {choose.choice('ab')}\n"
        ),
        "local configuration": lambda: toggle(
            root / ".dvc/config.local", "[core]\nno_scm = true\n"
        ),
        "folder": lambda: toggle(
            root / f"new/{choose.choice('ab')}.dvc", f"outs:\n- md5: {MD5}\n  path: x\n"
        ),
        "folder gone": lambda: shutil.rmtree(root / "new", ignore_errors=True),
        "nested project": lambda: toggle(root / "new/.dvc/config", ""),
        "data": lambda: toggle(root / "raw/a.dvc", "outs: nonsense\n"),
        "out of another kind": lambda: toggle(root / "model.pkl", "bytes"),
    }


@pytest.mark.slow
@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("seed", range(2))
def test_random_changes_between_processes_are_seen(root: Path, seed: int) -> None:
    choose = random.Random(seed)
    done: list[str] = []
    for _ in range(bounded(40, 1000)):
        saved = look(root)
        fresh = look(root, save=False)
        assert saved == fresh, done
        if isinstance(saved, DataState) and isinstance(fresh, DataState):
            assert dict(saved.metafiles) == dict(fresh.metafiles), done
            assert saved.data_hash == fresh.data_hash
        time.sleep(0.015)  # a change within one tick of the clock is another test
        name, change = choose.choice(sorted(changes(root, choose).items()))
        done.append(name)
        change()


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hears of each reading of metafiles."""
    from mlflow_dvc_plugin.capturing import metafiles

    heard: list[str] = []
    original = metafiles.read_metafiles

    def read_metafiles(project: str, *args: object) -> object:
        heard.append(project)
        return original(project, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(metafiles, "read_metafiles", read_metafiles)
    return heard


def test_an_unchanged_project_is_not_read_again(root: Path, parsers: list[str]) -> None:
    first = look(root)
    assert isinstance(first, DataState)
    assert look(root) == first
    assert parsers == [str(root)]


def test_no_password_is_saved(root: Path) -> None:
    (root / ".dvc/config.local").write_text("['remote \"r\"']\npassword = secret\n")
    look(root)
    (saved,) = (root / ".dvc/tmp/mlflow-dvc").iterdir()
    assert b"secret" not in saved.read_bytes()


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "foreign", "other release"])
def test_a_damaged_reading_is_as_good_as_none(
    root: Path, parsers: list[str], damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(root)
    (saved,) = (root / ".dvc/tmp/mlflow-dvc").iterdir()
    data = saved.read_bytes()
    body = data.partition(b"\n")[2]
    if damage == "cut":
        saved.write_bytes(data[:-9])
    elif damage == "empty":
        saved.write_bytes(b"")
    elif damage == "changed":
        saved.write_bytes(data.replace(MD5.encode(), MD5[::-1].encode()))
    elif damage == "foreign":
        from mlflow_dvc_plugin.capturing.files import hash_bytes

        for number, other in enumerate((b"[]", b'{"watch": 3}', body[:40] + b'": 1}', b"null")):
            saved.write_bytes(hash_bytes(other).encode() + b"\n" + other)
            assert look(root) == first
            assert len(parsers) == number + 2
        return
    else:
        monkeypatch.setattr("mlflow_dvc_plugin.capturing.memory.saved_results.__version__", "9")
    assert look(root) == first
    assert len(parsers) == 2


def test_a_copy_of_a_project_is_read_anew(root: Path, parsers: list[str], tmp_path: Path) -> None:
    look(root)
    moved = tmp_path / "moved"
    root.rename(moved)
    subprocess.run(["cp", "-a", str(moved), str(root)], check=True)
    # Everything is the same but the inodes and the times of their change.
    assert isinstance(look(root), DataState)
    assert parsers == [str(root)] * 2


def test_a_stage_s_process_finds_its_inputs_in_a_saved_reading(
    root: Path, parsers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look(root)
    monkeypatch.setenv("DVC_STAGE", "train")
    saved = look(root)
    assert len(parsers) == 1
    assert isinstance(saved, DataState)
    assert [entry.path for entry in saved.entries if entry.input] == ["prepared/a.csv"]
    assert saved == look(root, save=False)


def test_a_project_that_cannot_be_written_to_is_read_each_time(
    root: Path, parsers: list[str]
) -> None:
    (root / ".dvc" / "tmp").mkdir(exist_ok=True)
    (root / ".dvc" / "tmp" / "mlflow-dvc").write_text("in the way")
    assert look(root) == look(root)
    assert len(parsers) == 2


def test_a_new_process_imports_no_parser(root: Path) -> None:
    code = (
        "import sys\n"
        "from mlflow_dvc_plugin.capturing import capture\n"
        "print(capture(sys.argv[1]).data_hash)\n"
        "print('mlflow_dvc_plugin.capturing.metafiles' in sys.modules, 'yaml' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(root)]
    first, second = (subprocess.check_output(command, text=True).split() for _ in range(2))
    assert first[0] == second[0]
    assert first[1:] == ["True", "True"]
    assert second[1:] == ["False", "False"]
